use std::sync::Arc;

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

#[tokio::test]
async fn only_the_right_password_of_a_known_user_matches() {
    let clock: SharedClock = Arc::new(SystemClock);
    let passwords = Passwords::new(&clock);
    let hash = hash_password("s3cret", [7; 16]).unwrap();
    assert!(hash.starts_with("$argon2id$v=19$m=12288,t=3,p=1$"), "{hash}");
    for _ in 0..2 {
        assert!(passwords.verify("u", "s3cret", Some(Credential::Hash(&hash))).await.unwrap());
        assert!(!passwords.verify("u", "S3cret", Some(Credential::Hash(&hash))).await.unwrap());
        assert!(!passwords.verify("u", "", Some(Credential::Hash(&hash))).await.unwrap());
        assert!(!passwords.verify("u", "no user has this password", None).await.unwrap());
    }
    let secret = SecretString::from("s3cret");
    assert!(passwords.verify("root", "s3cret", Some(Credential::Secret(&secret))).await.unwrap());
    assert!(!passwords.verify("root", "", Some(Credential::Secret(&secret))).await.unwrap());
    assert!(!passwords.verify("root", "no user has this password", Some(Credential::Secret(&secret))).await.unwrap());
    let other = hash_password("new", [8; 16]).unwrap();
    assert!(
        !passwords.verify("u", "s3cret", Some(Credential::Hash(&other))).await.unwrap(),
        "an old password outlived its change"
    );
}
