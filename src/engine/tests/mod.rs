//! The engine against an oracle: by hand, and in seeded histories of several processes on one store.

mod crashes;
mod histories;
mod holes;
mod lost;
mod oracle;
mod order;
mod places;
mod refusals;
mod verbs;
mod year;
