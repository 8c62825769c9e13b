//! A page of Markdown, as its blocks and what the comments above them say.

use std::path::{Path, PathBuf};

#[derive(Debug)]
pub struct Page {
    pub path: PathBuf,
    pub text: String,
    pub blocks: Vec<Block>,
    /// Comments that the test does not understand.
    pub mistakes: Vec<String>,
}

/// A block between fences.
#[derive(Debug)]
pub struct Block {
    pub line: usize,
    pub kind: Kind,
    pub text: String,
    /// Commands that run before it.
    pub before: Vec<String>,
    /// A variable of the environment without which it does not run.
    pub needs: Option<String>,
    not_run: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Shell,
    Sql,
    /// What the block before it prints.
    Output,
    Other,
}

impl Block {
    pub fn runs(&self) -> bool {
        let has = |name: &String| std::env::var_os(name).is_some();
        matches!(self.kind, Kind::Shell | Kind::Sql) && !self.not_run && self.needs.as_ref().is_none_or(has)
    }
}

impl Page {
    pub fn read(path: &Path) -> Page {
        Page::parse(path, std::fs::read_to_string(path).expect("a page"))
    }

    fn parse(path: &Path, text: String) -> Page {
        let mut page = Page { path: path.to_owned(), blocks: Vec::new(), mistakes: Vec::new(), text };
        let text = page.text.clone();
        let mut comments: Vec<&str> = Vec::new();
        let mut lines = text.lines().enumerate();
        while let Some((at, line)) = lines.next() {
            if let Some(comment) = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->")) {
                comments.push(comment);
            } else if let Some(language) = line.trim_start().strip_prefix("```") {
                let inside = lines.by_ref().take_while(|(_, line)| !line.trim_start().starts_with("```"));
                let inside: String = inside.map(|(_, line)| format!("{line}\n")).collect();
                page.add(at + 1, language, inside, &std::mem::take(&mut comments));
            } else {
                comments.clear();
            }
        }
        page
    }

    fn add(&mut self, line: usize, language: &str, text: String, comments: &[&str]) {
        let kind = match language {
            "sh" | "bash" | "shell" | "console" => Kind::Shell,
            "sql" => Kind::Sql,
            "text" if comments.contains(&"output") => Kind::Output,
            _ => Kind::Other,
        };
        let mut block = Block { line, kind, text, before: Vec::new(), needs: None, not_run: false };
        for comment in comments {
            if let Err(mistake) = block.obey(comment) {
                self.mistakes.push(format!("{}: {mistake}", self.place(&block)));
            }
        }
        self.blocks.push(block);
    }

    pub fn place(&self, block: &Block) -> String {
        format!("{}:{}", self.path.display(), block.line)
    }
}

impl Block {
    fn obey(&mut self, comment: &str) -> Result<(), String> {
        if comment == "output" {
            return if self.kind == Kind::Output { Ok(()) } else { Err("an output is a block of text".to_owned()) };
        }
        match comment.split_once(": ") {
            Some(("not run", reason)) if !reason.trim().is_empty() => self.not_run = true,
            Some(("needs", variable)) => self.needs = Some(variable.to_owned()),
            Some(("before", command)) => self.before.push(command.to_owned()),
            Some(("in the test", change)) => {
                let (from, to) = change.split_once(" = ").ok_or("a change is TEXT = OTHER")?;
                if !self.text.contains(from) {
                    return Err(format!("the block does not hold '{from}'"));
                }
                self.text = self.text.replace(from, to);
            }
            _ => return Err(format!("the comment '{comment}' means nothing to the test of pages")),
        }
        Ok(())
    }
}

#[test]
fn comments_belong_to_the_block_below_them() {
    let text = "<!-- not run: needs AWS -->\n```sh\na\n```\n<!-- not run: far away -->\n\n```sh\nb 100\n```\n\
                <!-- output -->\n```text\nc\n```\n<!-- before: x: y -->\n<!-- in the test: 100 = 2 -->\n```sql\nd 100\n```\n";
    let page = Page::parse(Path::new("p"), text.to_owned());
    assert!(page.mistakes.is_empty(), "{page:?}");
    assert_eq!(page.blocks.iter().map(Block::runs).collect::<Vec<_>>(), [false, true, false, true]);
    assert_eq!(page.blocks[2].kind, Kind::Output);
    assert_eq!((page.blocks[3].text.as_str(), page.blocks[3].before[0].as_str()), ("d 2\n", "x: y"));
    let wrong = "<!-- not run: -->\n```sh\na\n```\n<!-- later: x -->\n```sh\na\n```\n<!-- in the test: z = y -->\n```sh\na\n```\n";
    let page = Page::parse(Path::new("p"), wrong.to_owned());
    assert_eq!(page.mistakes.len(), 3, "{page:?}");
    assert!(page.blocks.iter().all(Block::runs));
    let absent = Page::parse(Path::new("p"), "<!-- needs: SILTDB_NOWHERE_SET -->\n```sh\na\n```\n".to_owned());
    assert!(absent.mistakes.is_empty() && !absent.blocks[0].runs(), "{absent:?}");
}
