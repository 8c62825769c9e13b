//! Numbers that name things on the store. Names of users never become keys; ids do.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "{}", self.0)
            }
        }
    };
}

id!(
    /// A tenant, for the life of the store.
    TenantId,
    u64
);
id!(
    /// One incarnation of a database: created again under the same name, it has another id.
    DatabaseId,
    u64
);
id!(
    /// One incarnation of a table within its database.
    TableId,
    u64
);
id!(
    /// A column within its table's incarnation. The time column is 0.
    ColumnId,
    u32
);
id!(
    /// A user, for the life of the store.
    UserId,
    u64
);

impl ColumnId {
    pub const TIME: ColumnId = ColumnId(0);
}
