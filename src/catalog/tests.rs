use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::SecretString;

use super::*;
use crate::model::clock::{SharedClock, SystemClock};

#[test]
fn databases_come_and_go_by_name() {
    let first = CatalogState::first(DatabaseId(10));
    let tenant = TenantId(1);
    let two = first.with_database(tenant, "air", DatabaseId(11)).unwrap();
    assert_eq!(two.database(tenant, "air"), Some(DatabaseId(11)));
    assert_eq!(two.with_database(tenant, "air", DatabaseId(12)).unwrap_err().code, Code::DatabaseExists);
    assert!(two.without_database(tenant, "air", DatabaseId(99), 5).unwrap().is_none());
    let gone = two.without_database(tenant, "air", DatabaseId(11), 5).unwrap().unwrap();
    assert_eq!(gone.dropped, [DroppedDatabase { tenant, id: DatabaseId(11), since: 5, emptied: false }]);
    let emptied = gone.with_emptied(DatabaseId(11), false).unwrap();
    assert!(emptied.dropped[0].emptied && emptied.with_emptied(DatabaseId(11), false).is_none());
    let forgotten = emptied.with_emptied(DatabaseId(11), true).unwrap();
    assert!(forgotten.dropped.is_empty() && forgotten.with_emptied(DatabaseId(11), true).is_none());
    assert_eq!(gone.database(tenant, "air"), None);
    assert_eq!(gone.database(tenant, "public"), Some(DatabaseId(10)));
    for name in ["", "  ", "a/b", "..", "a\nb"] {
        assert_eq!(first.with_database(tenant, name, DatabaseId(1)).unwrap_err().code, Code::SqlSyntax, "{name:?}");
    }
}

#[test]
fn system_databases_stay() {
    for is_there in [false, true] {
        assert_eq!(check_droppable("public", is_there).unwrap_err().code, Code::DropForbidden);
        assert!(check_droppable("air", is_there).is_ok());
    }
    for name in ["cluster_schema", "information_schema", "usage_schema"] {
        assert_eq!(check_creatable(name).unwrap_err().code, Code::DatabaseExists);
        assert_eq!(check_droppable(name, false).unwrap_err().code, Code::DropForbidden);
        // Of a store in which it could still be created.
        assert!(check_droppable(name, true).is_ok());
    }
    assert!(check_creatable("air").is_ok());
}

fn login<'a>(user: &'a str, password: &'a str) -> Login<'a> {
    Login { user, password, from: Some([127, 0, 0, 1].into()) }
}

fn passwords() -> Passwords {
    let clock: SharedClock = Arc::new(SystemClock);
    Passwords::new(&clock)
}

#[tokio::test]
async fn only_the_right_password_of_a_known_user_matches() {
    let passwords = passwords();
    let hash = hash_password("s3cret", [7; 16]).unwrap();
    assert!(hash.starts_with("$argon2id$v=19$m=12288,t=3,p=1$"), "{hash}");
    let stored = Credential::Hash(&hash);
    let nobody = |alike| Credential::Nothing { alike };
    for _ in 0..2 {
        assert!(passwords.verify(login("u", "s3cret"), stored).await.unwrap());
        assert!(!passwords.verify(login("u", "S3cret"), stored).await.unwrap());
        assert!(!passwords.verify(login("u", ""), stored).await.unwrap());
        assert!(!passwords.verify(login("u", "no user has this password"), nobody(None)).await.unwrap());
        assert!(!passwords.verify(login("x", "s3cret"), nobody(Some(&hash))).await.unwrap(), "it is another's");
    }
    let secret = SecretString::from("s3cret");
    let secret = Credential::Secret(&secret);
    assert!(passwords.verify(login("root", "s3cret"), secret).await.unwrap());
    assert!(!passwords.verify(login("root", ""), secret).await.unwrap());
    assert!(!passwords.verify(login("root", "no user has this password"), secret).await.unwrap());
    let other = hash_password("new", [8; 16]).unwrap();
    let changed = Credential::Hash(&other);
    assert!(!passwords.verify(login("u", "s3cret"), changed).await.unwrap(), "an old password outlived its change");
    assert!(!passwords.verify(login("u", "s3cret"), nobody(None)).await.unwrap(), "it outlived its user");
    assert!(passwords.verify(login("u", "new"), changed).await.unwrap(), "what was wrong before is right now");
}

#[tokio::test]
async fn wrong_passwords_do_not_keep_right_ones_out() {
    let passwords = Arc::new(passwords());
    let hash: &'static str = hash_password("s3cret", [7; 16]).unwrap().leak();
    let flood: Vec<_> = (0..200)
        .map(|number| {
            let passwords = passwords.clone();
            tokio::spawn(async move {
                for attempt in 0.. {
                    let user = if number % 2 == 0 { "root" } else { "nobody" };
                    let password = format!("wrong{number}.{attempt}");
                    let credential = if number % 2 == 0 {
                        Credential::Hash(hash)
                    } else {
                        Credential::Nothing { alike: Some(hash) }
                    };
                    let _ = passwords.verify(login(user, &password), credential).await;
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    // Another user at the same address, and the same one at another. On a machine that does much else it may take
    // more than one attempt, as clients make them.
    let elsewhere = Login { from: Some([10, 0, 0, 1].into()), ..login("root", "s3cret") };
    for login in [login("alice", "s3cret"), elsewhere] {
        let mut attempts = 0;
        while !passwords.verify(login, Credential::Hash(hash)).await.is_ok_and(|matched| matched) {
            attempts += 1;
            assert!(attempts < 5, "{}", login.user);
        }
    }
    // Who is in stays in, from wherever.
    for _ in 0..100 {
        assert!(passwords.verify(login("root", "s3cret"), Credential::Hash(hash)).await.unwrap());
    }
    flood.iter().for_each(tokio::task::JoinHandle::abort);
}

/// Of three, so that a loaded machine changes nothing.
async fn fastest(passwords: &Passwords, credential: Credential<'_>) -> Duration {
    let mut fastest = Duration::MAX;
    for attempt in 0..3 {
        let began = Instant::now();
        assert!(!passwords.verify(login("u", &format!("wrong{attempt}")), credential).await.unwrap());
        fastest = fastest.min(began.elapsed());
    }
    fastest
}

#[tokio::test]
async fn an_unknown_name_takes_as_long_as_a_known_one() {
    let cheap = "$argon2id$v=19$m=8,t=1,p=1$YWFhYWFhYWE$bWhEpD4B5PLUCV9iAWj3MGfTIkWsGQdYxdQKDzJ9aAc";
    let (known, unknown) = (passwords(), passwords());
    let known = fastest(&known, Credential::Hash(cheap)).await;
    let unknown = fastest(&unknown, Credential::Nothing { alike: Some(cheap) }).await;
    let ours = fastest(&passwords(), Credential::Nothing { alike: None }).await;
    assert!(known * 2 < ours && unknown * 2 < ours, "{known:?} {unknown:?} {ours:?}");
}

#[test]
fn hashes_that_nothing_can_be_checked_against_are_refused() {
    let of = |costs: &str| format!("$argon2id$v=19${costs}$YWFhYWFhYWE$bWhEpD4B5PLUCV9iAWj3MGfTIkWsGQdYxdQKDzJ9aAc");
    for costs in ["m=12288,t=3,p=1", "m=65536,t=3,p=4", "m=47104,t=1,p=1"] {
        check_hash(&of(costs)).unwrap_or_else(|why| panic!("{costs}: {why}"));
    }
    for hash in [
        "hunter2".to_owned(),
        "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW".to_owned(),
        "$argon2id$v=19$m=12288,t=3,p=1".to_owned(),
        "$argon2id$v=19$m=12288,t=3,p=1$YWFhYWFhYWE".to_owned(),
        of("m=4194304,t=1,p=1"),
        of("m=65536,t=1000,p=1"),
        of("m=1,t=1,p=1"),
    ] {
        let why = check_hash(&hash).expect_err(&hash);
        assert!(!why.contains(&hash), "{why}");
    }
}
