//! DuckDB in a Python process, spoken to over its pipes. `tests/differential/answer.py` is the other end.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use super::answer::Answer;

pub struct DuckDb {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl DuckDb {
    pub fn start(python: &str) -> DuckDb {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/answer.py");
        let mut process = Command::new(python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the Python that SILTDB_TEST_PYTHON names runs");
        let input = process.stdin.take().expect("its input");
        let output = BufReader::new(process.stdout.take().expect("its output"));
        DuckDb { process, input, output }
    }

    fn ask(&mut self, request: &Value) -> Answer {
        writeln!(self.input, "{request}").expect("DuckDB listens");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("DuckDB answers");
        let answer: Value = serde_json::from_str(&line).expect("an answer of DuckDB");
        if let Some(error) = answer["error"].as_str() {
            return Answer::Refused(error.to_owned());
        }
        let cell = |cell: &Value| cell.as_str().map(str::to_owned);
        let row = |row: &Value| row.as_array().into_iter().flatten().map(cell).collect();
        Answer::Rows(answer["rows"].as_array().into_iter().flatten().map(row).collect())
    }

    /// A new database with the rows that these statements make.
    pub fn load(&mut self, statements: &[String]) {
        let answer = self.ask(&json!({ "load": statements }));
        assert!(matches!(answer, Answer::Rows(_)), "DuckDB refuses the data: {answer:?}");
    }

    pub fn query(&mut self, sql: &str) -> Answer {
        self.ask(&json!({ "query": sql }))
    }
}

impl Drop for DuckDb {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
