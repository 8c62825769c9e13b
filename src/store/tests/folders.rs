//! Folders: what is made and what is not, and what becomes of one that goes away.

use std::fs;

use super::super::folder::TEMPORARY_PREFIX;
use super::*;

async fn opened(path: &std::path::Path, make: bool) -> Result<Store> {
    let path = path.to_str().unwrap();
    if make { Store::open_or_make(path).await } else { Store::open(path).await }
}

#[tokio::test]
async fn only_the_last_folder_of_a_path_is_made_and_only_when_asked_to() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("new");
    let error = opened(&place, false).await.unwrap_err();
    assert_eq!(error.code, Code::NoStore);
    let said = format!("no SiltDB store at {0}: `siltdb serve --store {0}` makes one", place.display());
    assert_eq!(error.message, said);
    let error = opened(&place.join("below"), true).await.unwrap_err();
    assert_eq!(error.code, Code::NoStore);
    assert!(error.message.contains(&format!("{} is not there", place.display())), "{error}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "nothing was made");
    opened(&place, true).await.unwrap();
    assert!(place.is_dir());
    opened(&place, false).await.unwrap();
}

#[tokio::test]
async fn what_is_no_folder_is_refused_at_once() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for path in [file.path().to_owned(), file.path().join("below"), file.path().join("below/that")] {
        for make in [false, true] {
            let error = opened(&path, make).await.unwrap_err();
            assert_eq!(error.code, Code::StoreRefused, "{error}");
            let named = error.message.contains(path.to_str().unwrap());
            assert!(named && error.message.contains("is a file, not a folder"), "{error}");
        }
    }
    let long = file.path().with_file_name("x".repeat(300));
    assert_eq!(opened(&long, true).await.unwrap_err().code, Code::StoreRefused);
}

#[tokio::test]
async fn a_directory_that_was_removed_is_made_again_but_not_for_what_belongs_beside_others() {
    let (directory, store) = folder().await;
    assert_eq!(store.create("x/y/one", bytes("1")).await, CreateOutcome::Created);
    assert_eq!(store.create_beside("x/y/two", bytes("2")).await, CreateOutcome::Created);
    fs::remove_dir_all(directory.path().join("a/b/x")).unwrap();
    // Whether or not this process has used the directory before.
    for store in [&store, &Store::open(store.url()).await.unwrap()] {
        for _ in 0..2 {
            let outcome = store.create_beside("x/y/three", bytes("3")).await;
            let CreateOutcome::Unknown(error) = outcome else { panic!("{outcome:?}") };
            assert_eq!(error.code, Code::StoreRefused);
            assert!(error.message.contains("x/y is not there"), "{error}");
        }
    }
    assert_eq!(store.create("x/y/four", bytes("4")).await, CreateOutcome::Created);
    assert_eq!(paths_of(&store, "", None).await, ["x/y/four"]);
    assert_eq!(store.create_beside("x/y/five", bytes("5")).await, CreateOutcome::Created);
}

#[tokio::test]
async fn a_folder_that_was_removed_is_not_made_again_and_is_not_an_empty_one() {
    let (directory, store) = folder().await;
    assert_eq!(store.create("x/y/one", bytes("1")).await, CreateOutcome::Created);
    let (place, away) = (directory.path().join("a/b"), directory.path().join("away"));
    for replacement in [None, Some("a file where the folder was")] {
        fs::rename(&place, &away).unwrap();
        if let Some(text) = replacement {
            fs::write(&place, text).unwrap();
        }
        let began = std::time::Instant::now();
        for path in ["x/y/two", "x/z/two", "two"] {
            let CreateOutcome::Unknown(error) = store.create(path, bytes("2")).await else { panic!("created") };
            assert_eq!(error.code, Code::StoreRefused, "{error}");
        }
        let mut upload = store.upload("data/x").unwrap();
        upload.write(vec![7; PART_BYTES + 1].into()).await.unwrap_err();
        for error in [
            store.get("x/y/one").await.unwrap_err(),
            store.get_range("x/y/one", 0..1).await.unwrap_err(),
            store.get("absent").await.unwrap_err(),
            store.list("x/", None).await.unwrap_err(),
            store.glance().await.unwrap_err(),
        ] {
            assert_eq!(error.code, Code::StoreRefused, "{error}");
            assert!(error.message.contains("a/b is not there (any more)"), "{error}");
        }
        assert!(began.elapsed() < DEADLINE / 2, "what is permanent is not tried again");
        assert!(!place.is_dir());
        if replacement.is_some() {
            fs::remove_file(&place).unwrap();
        }
        fs::rename(&away, &place).unwrap();
        assert_eq!(store.get("x/y/one").await.unwrap(), Some(bytes("1")));
        assert_eq!(store.get("absent").await.unwrap(), None);
    }
    assert_eq!(store.create("x/y/two", bytes("2")).await, CreateOutcome::Created);
}

#[tokio::test]
async fn a_glance_shows_what_others_have_put_there_and_ends() {
    let (directory, store) = folder().await;
    let place = directory.path().join("a/b");
    assert_eq!(store.glance().await.unwrap(), Glance::default());
    fs::create_dir_all(place.join("sys/probe")).unwrap();
    fs::create_dir(place.join("lost+found")).unwrap();
    fs::write(place.join("lost+found/x"), "").unwrap();
    fs::write(place.join(".DS_Store"), "").unwrap();
    fs::write(place.join(format!("{TEMPORARY_PREFIX}x")), "").unwrap();
    assert_eq!(store.glance().await.unwrap(), Glance::default(), "what file systems put there is nobody's");
    std::os::unix::fs::symlink("/nowhere", place.join("link")).unwrap();
    fs::create_dir(place.join("of a user")).unwrap();
    fs::write(place.join("of a user/notes.txt"), "").unwrap();
    let mut seen = store.glance().await.unwrap();
    seen.paths.sort();
    assert_eq!(seen, Glance { paths: vec!["link".into(), "of a user/notes.txt".into()], more: false });
    for number in 0..1_100 {
        fs::write(place.join(format!("of a user/{number}")), "").unwrap();
    }
    let seen = store.glance().await.unwrap();
    assert!(seen.more && seen.paths.len() < 1_001, "{}", seen.paths.len());
    let memory = Store::memory();
    assert_eq!(memory.create("x/y", bytes("1")).await, CreateOutcome::Created);
    assert_eq!(memory.glance().await.unwrap(), Glance { paths: vec!["x/y".into()], more: false });
}
