//! The engine against an oracle: by hand, and in seeded histories of several processes on one store.

mod crashes;
mod histories;
mod oracle;
mod places;
mod refusals;
mod verbs;
mod year;
