//! Retention, on a clock that is set by hand: rows are hidden the moment they are past their time, and
//! later removed.

use std::time::Duration;

use siltdb::engine::Tasks;
use siltdb::model::DatabaseOptions;

use crate::oracle::World;

const DAY: i64 = 86_400_000_000_000;
const BEGIN: i64 = 1_700_000_000_000_000_000;

#[tokio::test]
async fn rows_hide_when_their_time_is_over() {
    for layout in [Tasks::NONE, Tasks { flush: true, ..Tasks::NONE }, Tasks::ALL] {
        let world = world_with_ttl().await;
        world.write(&format!("m,host=a v=1i {}\nm,host=a v=2i {}", BEGIN - 9 * DAY, BEGIN - 5 * DAY)).await;
        world.maintain(layout).await;
        world.write(&format!("m,host=a v=3i {BEGIN}\nm,host=b v=4i {}", BEGIN - 9 * DAY)).await;
        assert_eq!(values(&world).await, ["1", "2", "3", "4"]);

        // The time that is exactly as old as the TTL is kept, one nanosecond more is not.
        world.clock.set(BEGIN + DAY);
        assert_eq!(values(&world).await, ["1", "2", "3", "4"]);
        world.clock.set(BEGIN + DAY + 1_000_000_000);
        assert_eq!(values(&world).await, ["2", "3"]);
        assert_eq!(world.rows("select count(*) from m").await, [["2"]]);
        assert_eq!(world.rows("select count(*) from m where host = 'b'").await, [["0"]]);

        let refused = world.try_write(&format!("m,host=a v=5i {}", BEGIN - 10 * DAY)).await;
        assert_eq!(refused.map_err(|error| error.code.number()).err(), Some("030034"));
    }
}

#[tokio::test]
async fn expired_files_are_dropped() {
    let world = world_with_ttl().await;
    world.write(&format!("m,host=a v=1i {}\nm,host=a v=2i {BEGIN}", BEGIN - 9 * DAY)).await;
    world.maintain(Tasks::ALL).await;
    world.clock.set(BEGIN + 5 * DAY);
    let report = world.engine.maintain(Tasks::ALL).await.expect("maintained");
    assert_eq!(report.expired, 1, "{report}");
    assert_eq!(values(&world).await, ["2"]);
    world.clock.set(BEGIN + 50 * DAY);
    world.maintain(Tasks::ALL).await;
    assert!(values(&world).await.is_empty());
    let report = world.engine.check().await.expect("checked");
    assert!(report.is_clean(), "{report}");
}

async fn world_with_ttl() -> World {
    let options = DatabaseOptions { ttl: Some(Duration::from_secs(10 * 86_400)), ..DatabaseOptions::default() };
    World::with_database(BEGIN, 7, options).await
}

async fn values(world: &World) -> Vec<String> {
    world.rows("select v from m order by v").await.into_iter().flatten().collect()
}
