//! The routes as the table of the manual, `docs/rest.md`. A test compares the page with it.

use super::ROUTES;
use super::names::{NamedRoute, names};

/// One row for each route: methods, path, and the parameters that it knows and ignores.
pub fn routes() -> String {
    let mut table = "| methods | path | parameters | ignored parameters |\n|---|---|---|---|\n".to_owned();
    for (path, methods, _) in ROUTES {
        let cells = NamedRoute::ALL.iter().find(|route| route.path() == path);
        let [known, ignored] =
            cells.map_or_else(Default::default, |route| [true, false].map(|known| cell(*route, known)));
        table.push_str(&format!("| {methods} | `{path}` | {known} | {ignored} |\n"));
    }
    table
}

fn cell(route: NamedRoute, known: bool) -> String {
    names(route, known).iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_with_parameters_is_a_route() {
        let table = routes();
        for route in NamedRoute::ALL {
            let row = table.lines().find(|line| line.contains(&format!("| `{}` |", route.path())));
            assert!(row.is_some_and(|row| row.contains("`tenant`, `db`")), "{table}");
        }
        assert!(table.contains("| GET, HEAD | `/api/v1/ping` |  |  |"), "{table}");
    }
}
