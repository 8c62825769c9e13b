//! What clients send over the year: regular points, late ones, overwrites, duplicates, back-fills,
//! points of other centuries; columns and tags that were not there before.

use super::model::{DatabaseModel, ModelFields, ModelPoint};
use super::world::{DAY, Dice, HOUR, SECOND};

const HOSTS: usize = 24;
/// 1900-01-01, 1969-12-31T23:59:59, 2100-01-01, 2262-04-01: far from everything else.
const FAR_TIMES: [i64; 4] = [-2_208_988_800 * SECOND, -SECOND, 4_102_444_800 * SECOND, 9_222_249_600 * SECOND];
/// Days a back-fill touches: more than the partitions of one flush.
const BACKFILL_DAYS: i64 = 70;

/// Who sends what: makes the points of one request at a time.
pub struct Traffic<'a> {
    pub dice: &'a Dice,
    pub now: i64,
    /// How far back the regular points of a step reach.
    pub step: i64,
    /// Months since the year began: columns come with them.
    pub month: usize,
}

impl Traffic<'_> {
    /// One request for a table.
    pub fn request(&self, model: &DatabaseModel, table: &'static str, rows: usize) -> Vec<ModelPoint> {
        let mut points: Vec<ModelPoint> = (0..rows)
            .map(|_| self.point(model, table, self.now - self.dice.roll((self.step / SECOND) as usize) as i64 * SECOND))
            .collect();
        if self.dice.once_in(3) {
            points.extend(self.overwrite(model, table));
        }
        if self.dice.once_in(4) {
            let time = self.late(model);
            points.extend((0..1 + self.dice.roll(3)).map(|number| self.point(model, table, time + number as i64)));
        }
        if self.dice.once_in(6)
            && let Some(point) = points.first().cloned()
        {
            points.push(point);
        }
        if self.dice.once_in(60) {
            points.push(self.point(model, table, self.far(model)));
        }
        points
    }

    /// Points scattered over many days in one request.
    pub fn backfill(&self, model: &DatabaseModel, table: &'static str) -> Vec<ModelPoint> {
        (1..=BACKFILL_DAYS).map(|day| self.point(model, table, self.now - day * DAY)).collect()
    }

    fn point(&self, model: &DatabaseModel, table: &'static str, time: i64) -> ModelPoint {
        let host = self.dice.roll(HOSTS);
        let mut series = format!("host=h{host:02}");
        if self.month >= 3 && host.is_multiple_of(3) {
            series.push_str(&format!(",zone=z{}", host % 2));
        }
        let drops = model.tables.get(table).map_or(0, |table| table.drops);
        ModelPoint { table, series, fields: self.fields(table, drops), time }
    }

    /// One to all of a table's fields.
    fn fields(&self, table: &str, drops: usize) -> ModelFields {
        let number = self.dice.roll(1_000);
        let mut all = match table {
            "cpu" => vec![("usage", format!("{}", number as f64 / 8.0)), ("load", format!("{number}i"))],
            "disk" => vec![
                ("free", format!("{number}u")),
                ("state", format!("\"größer, a={number}\"")),
                ("ok", number.is_multiple_of(2).to_string()),
            ],
            // Every other incarnation gives the column another type.
            _ if drops % 4 >= 2 => vec![("code", format!("\"E{number}\"")), ("text", "\"down\"".to_owned())],
            _ => vec![("code", format!("{}i", -(number as i64))), ("text", format!("\"event {}\"", number % 10))],
        };
        let names: Vec<String> = (1..=self.month).map(|month| format!("extra_{month}")).collect();
        all.extend(names.iter().map(|name| (name.as_str(), format!("{}", number as f64 + 0.5))));
        let first = self.dice.roll(all.len());
        let taken = 1 + self.dice.roll(all.len());
        let fields = all.iter().cycle().skip(first).take(taken);
        fields.map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }

    /// A point that was written before, with other or fewer fields.
    fn overwrite(&self, model: &DatabaseModel, table: &'static str) -> Option<ModelPoint> {
        let known = model.tables.get(table)?;
        let (series, time) = known.keys.get(self.dice.roll(known.keys.len()))?.clone();
        (time >= self.oldest(model)).then(|| ModelPoint {
            table,
            series,
            fields: self.fields(table, known.drops),
            time,
        })
    }

    /// Minutes, days or months ago.
    fn late(&self, model: &DatabaseModel) -> i64 {
        let ago = match self.dice.roll(3) {
            0 => (1 + self.dice.roll(180)) as i64 * 60 * SECOND,
            1 => (1 + self.dice.roll(20)) as i64 * DAY,
            _ => (30 + self.dice.roll(270)) as i64 * DAY,
        };
        (self.now - ago).max(self.oldest(model))
    }

    fn far(&self, model: &DatabaseModel) -> i64 {
        match self.dice.roll(FAR_TIMES.len() + 1) {
            0 => self.now + DAY + self.dice.roll(3) as i64 * DAY,
            number => FAR_TIMES[number - 1].max(self.oldest(model)),
        }
    }

    /// The oldest time a client dares to send: an hour inside the retention.
    fn oldest(&self, model: &DatabaseModel) -> i64 {
        model.horizon(self.now).saturating_add(HOUR)
    }
}
