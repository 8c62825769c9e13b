//! Which connections there are, and which one gives way to a new one.
//!
//! Invariants: never more than the limit; those from one address that have not authenticated are at most a share of
//! it, and give way among themselves; when all places are taken, the one that has been idle longest gives way,
//! one that has not authenticated first. One with a request under way never does.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

/// Who gives way next is found for so many at a time, so that a flood does not cost a search for each.
const FOUND_AT_ONCE: usize = 64;

/// The table of all connections. Cheap to clone.
#[derive(Clone)]
pub struct Connections(Arc<Inner>);

struct Inner {
    /// Connections at the same time.
    limit: usize,
    /// Of these from one address without credentials.
    share: usize,
    began: Instant,
    table: Mutex<Registered>,
    gave_way: AtomicU64,
    turned_away: AtomicU64,
}

#[derive(Default)]
struct Registered {
    next: u64,
    all: HashMap<u64, Arc<Connection>>,
    /// How many of each address have not authenticated.
    strangers: HashMap<IpAddr, usize>,
    /// Those who give way next, the first one last.
    found: Vec<(Standing, Arc<Connection>)>,
    /// Of which strangers those are: of one address, or of all connections.
    found_of: Option<IpAddr>,
}

/// In which order connections give way: strangers first, then by how long they have been idle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Standing {
    authenticated: bool,
    /// Milliseconds since the table was made.
    idle_since: u64,
    number: u64,
}

/// One connection, as those know it who serve its requests.
pub struct Connection {
    number: u64,
    /// The client's address.
    pub peer: IpAddr,
    connections: Connections,
    under_way: AtomicUsize,
    has_asked: AtomicBool,
    authenticated: AtomicBool,
    idle_since: AtomicU64,
    gives_way: Notify,
}

/// The place of a connection, given back when dropped.
pub struct ConnectionSlot(pub Arc<Connection>);

/// A request under way on a connection.
pub struct UnderWay(Arc<Connection>);

/// Clients of one network of IPv6 can have any number of addresses, so the network counts as one.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::from((u128::from(address) >> 64 << 64).to_be_bytes()),
        address => address,
    }
}

impl Connections {
    /// `share` is how many of them one address may have without credentials.
    pub fn new(limit: usize, share: usize) -> Connections {
        Connections(Arc::new(Inner {
            limit,
            share: share.max(1),
            began: Instant::now(),
            table: Mutex::default(),
            gave_way: AtomicU64::new(0),
            turned_away: AtomicU64::new(0),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Registered> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A place for a connection from an address, which another one may have to leave. `None` if all that could
    /// make room have requests under way.
    pub fn admit(&self, peer: IpAddr) -> Option<ConnectionSlot> {
        let mut table = self.lock();
        let network = network(peer);
        let is_crowded = table.strangers.get(&network).is_some_and(|strangers| *strangers >= self.0.share);
        let has_room = if is_crowded {
            self.make_room(&mut table, Some(network))
        } else {
            table.all.len() < self.0.limit || self.make_room(&mut table, None)
        };
        if !has_room {
            self.0.turned_away.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let connection = Arc::new(Connection {
            number: table.next,
            peer,
            connections: self.clone(),
            under_way: AtomicUsize::new(0),
            has_asked: AtomicBool::new(false),
            authenticated: AtomicBool::new(false),
            idle_since: AtomicU64::new(self.now()),
            gives_way: Notify::new(),
        });
        table.next += 1;
        *table.strangers.entry(network).or_default() += 1;
        table.all.insert(connection.number, connection.clone());
        Some(ConnectionSlot(connection))
    }

    /// Lets one idle connection go, for others that need what it holds.
    pub fn give_way(&self) {
        self.make_room(&mut self.lock(), None);
    }

    /// Takes the place of one connection away: of a stranger from an address, or of anybody.
    fn make_room(&self, table: &mut Registered, of: Option<IpAddr>) -> bool {
        let Some(connection) = table.first_to_go(of) else { return false };
        table.remove(&connection);
        connection.gives_way.notify_one();
        self.0.gave_way.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// How many there are, how many had to give way so far, and how many found no place.
    pub fn counts(&self) -> (usize, u64, u64) {
        let now = self.lock().all.len();
        (now, self.0.gave_way.load(Ordering::Relaxed), self.0.turned_away.load(Ordering::Relaxed))
    }
}

impl Registered {
    fn first_to_go(&mut self, of: Option<IpAddr>) -> Option<Arc<Connection>> {
        if self.found_of != of {
            self.found.clear();
            self.found_of = of;
        }
        // What was found may have had a request, or gone, since.
        while let Some((standing, connection)) = self.found.pop() {
            if connection.standing() == Some(standing) && self.all.contains_key(&standing.number) {
                return Some(connection);
            }
        }
        let is_meant = |connection: &Connection| match of {
            Some(address) => network(connection.peer) == address && !connection.is_authenticated(),
            None => true,
        };
        let idle = self.all.values().filter(|connection| is_meant(connection));
        let mut idle: Vec<_> = idle.filter_map(|one| Some((one.standing()?, one.clone()))).collect();
        if idle.len() > FOUND_AT_ONCE {
            idle.select_nth_unstable_by_key(FOUND_AT_ONCE, |(standing, _)| *standing);
            idle.truncate(FOUND_AT_ONCE);
        }
        idle.sort_unstable_by_key(|(standing, _)| std::cmp::Reverse(*standing));
        self.found = idle;
        self.found.pop().map(|(_, connection)| connection)
    }

    fn remove(&mut self, connection: &Connection) {
        if self.all.remove(&connection.number).is_some() && !connection.is_authenticated() {
            self.forget_stranger(network(connection.peer));
        }
    }

    fn forget_stranger(&mut self, network: IpAddr) {
        if let Some(strangers) = self.strangers.get_mut(&network) {
            *strangers -= 1;
            if *strangers == 0 {
                self.strangers.remove(&network);
            }
        }
    }
}

impl Connection {
    /// Its place in the order; none while a request is under way.
    fn standing(&self) -> Option<Standing> {
        (self.under_way.load(Ordering::SeqCst) == 0).then(|| Standing {
            authenticated: self.is_authenticated(),
            idle_since: self.idle_since.load(Ordering::SeqCst),
            number: self.number,
        })
    }

    /// A request has come.
    pub fn begin(self: &Arc<Self>) -> UnderWay {
        self.has_asked.store(true, Ordering::SeqCst);
        self.under_way.fetch_add(1, Ordering::SeqCst);
        UnderWay(self.clone())
    }

    /// Its client has given right credentials: it counts no more as a stranger's.
    pub fn authenticate(&self) {
        if self.is_authenticated() {
            return;
        }
        let mut table = self.connections.lock();
        let is_new = !self.authenticated.swap(true, Ordering::SeqCst);
        if is_new && table.all.contains_key(&self.number) {
            table.forget_stranger(network(self.peer));
        }
    }

    fn is_authenticated(&self) -> bool {
        self.authenticated.load(Ordering::SeqCst)
    }

    /// Whether a whole head has come so far.
    pub fn has_asked(&self) -> bool {
        self.has_asked.load(Ordering::SeqCst)
    }

    /// Whether a request is under way.
    pub fn is_busy(&self) -> bool {
        self.under_way.load(Ordering::SeqCst) > 0
    }

    /// Ready when it has to go.
    pub async fn gives_way(&self) {
        self.gives_way.notified().await;
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.idle_since.store(self.0.connections.now(), Ordering::SeqCst);
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.0.connections.lock().remove(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    /// Connections that have been idle since so many milliseconds.
    fn admit(connections: &Connections, last: u8, idle_since: u64) -> ConnectionSlot {
        let place = connections.admit(address(last)).unwrap();
        place.0.idle_since.store(idle_since, Ordering::SeqCst);
        place
    }

    async fn has_to_go(place: &ConnectionSlot) -> bool {
        tokio::time::timeout(Duration::from_millis(1), place.0.gives_way()).await.is_ok()
    }

    #[tokio::test]
    async fn the_longest_idle_stranger_gives_way_first() {
        let connections = Connections::new(4, 4);
        let known = admit(&connections, 1, 0);
        known.0.authenticate();
        let asking = admit(&connections, 2, 1);
        let request = asking.0.begin();
        let (idle, longest) = (admit(&connections, 3, 20), admit(&connections, 4, 10));
        let fifth = admit(&connections, 5, 30);
        assert!(has_to_go(&longest).await && !has_to_go(&idle).await);
        let sixth = connections.admit(address(6)).unwrap();
        assert!(has_to_go(&idle).await);
        let (fifth_request, sixth_request) = (fifth.0.begin(), sixth.0.begin());
        let seventh = connections.admit(address(7)).unwrap();
        assert!(has_to_go(&known).await && !has_to_go(&asking).await);
        let seventh_request = seventh.0.begin();
        assert!(connections.admit(address(8)).is_none());
        drop(request);
        assert!(connections.admit(address(8)).is_some());
        assert!(has_to_go(&asking).await);
        drop((fifth_request, sixth_request, seventh_request));
        drop((known, asking, idle, longest, fifth, sixth, seventh));
        assert_eq!(connections.counts(), (0, 4, 1));
        assert!(connections.lock().strangers.is_empty());
    }

    #[tokio::test]
    async fn strangers_of_one_address_give_way_among_themselves() {
        let connections = Connections::new(8, 2);
        let other = admit(&connections, 1, 0);
        let known: Vec<_> =
            (0..3).map(|since| admit(&connections, 2, since)).inspect(|one| one.0.authenticate()).collect();
        let (first, second) = (admit(&connections, 2, 10), admit(&connections, 2, 11));
        let third = connections.admit(address(2)).unwrap();
        assert!(has_to_go(&first).await && !has_to_go(&second).await && !has_to_go(&other).await);
        let requests = (second.0.begin(), third.0.begin());
        assert!(connections.admit(address(2)).is_none(), "there is room, but not for one more of these");
        assert!(connections.admit(address(3)).is_some());
        drop(requests);
        for place in &known {
            assert!(!has_to_go(place).await);
        }
    }

    #[test]
    fn a_flood_is_not_searched_each_time() {
        let connections = Connections::new(1_000, 1_000);
        let places: Vec<_> = (0..1_000).map(|since| admit(&connections, 1, since)).collect();
        let mut newer = Vec::new();
        for number in 0..500 {
            newer.push(admit(&connections, 2, 10_000 + number));
            assert!(connections.lock().found.len() < FOUND_AT_ONCE);
            assert!(!connections.lock().all.contains_key(&number), "{number}");
        }
        drop(places);
        assert_eq!(connections.counts().0, 500);
    }

    #[test]
    fn networks() {
        let network = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(network("10.1.2.3"), "10.1.2.3");
        assert_eq!(network("::ffff:10.1.2.3"), "10.1.2.3");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }
}
