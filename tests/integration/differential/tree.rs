//! Text of a query as a tree, so that a failing one can be made smaller without knowing SQL: a part is left
//! out, or a part of a part of the same kind takes its place.

/// What may stand in for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Boolean,
    /// Whole numbers of any size: for comparisons only.
    Whole,
    /// Whole numbers of few digits: for sums.
    Small,
    Unsigned,
    Double,
    Text,
    Time,
    /// What follows FROM.
    Source,
    Query,
    /// WHERE, ORDER BY and the like; an item of a list.
    Clause,
}

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    /// In SiltDB's words and in DuckDB's.
    Dialects(String, String),
    Tree(Tree),
}

#[derive(Debug, Clone)]
pub struct Tree {
    pub kind: Kind,
    /// The query stands without it.
    optional: bool,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Silt,
    Duck,
}

/// A tree of a pattern in which each `{}` is one of `trees`.
pub fn tree<const N: usize>(kind: Kind, pattern: &str, trees: [Tree; N]) -> Tree {
    joined(kind, pattern, trees.into())
}

pub fn joined(kind: Kind, pattern: &str, trees: Vec<Tree>) -> Tree {
    let mut parts = Vec::new();
    let mut trees = trees.into_iter();
    for (number, text) in pattern.split("{}").enumerate() {
        if number > 0 {
            parts.push(Part::Tree(trees.next().expect("a tree for each {}")));
        }
        parts.push(Part::Text(text.to_owned()));
    }
    assert!(trees.next().is_none(), "more trees than {{}} in {pattern}");
    Tree { kind, optional: false, parts }
}

pub fn leaf(kind: Kind, text: impl Into<String>) -> Tree {
    Tree { kind, optional: false, parts: vec![Part::Text(text.into())] }
}

pub fn dialects(kind: Kind, silt: impl Into<String>, duck: impl Into<String>) -> Tree {
    Tree { kind, optional: false, parts: vec![Part::Dialects(silt.into(), duck.into())] }
}

/// A list with commas; all but the first may go.
pub fn list(trees: Vec<Tree>) -> Tree {
    let parts = trees.into_iter().enumerate().map(|(number, tree)| {
        let pattern = if number == 0 { "{}" } else { ", {}" };
        Part::Tree(Tree { optional: number > 0, ..joined(Kind::Clause, pattern, vec![tree]) })
    });
    Tree { kind: Kind::Clause, optional: false, parts: parts.collect() }
}

impl Tree {
    #[must_use]
    pub fn optional(mut self) -> Tree {
        self.optional = true;
        self
    }

    pub fn text(&self, dialect: Dialect) -> String {
        let text = |part: &Part| match (part, dialect) {
            (Part::Text(text), _) => text.clone(),
            (Part::Dialects(silt, _), Dialect::Silt) => silt.clone(),
            (Part::Dialects(_, duck), Dialect::Duck) => duck.clone(),
            (Part::Tree(tree), _) => tree.text(dialect),
        };
        self.parts.iter().map(text).collect()
    }

    fn nothing(&self) -> Tree {
        Tree { kind: self.kind, optional: false, parts: Vec::new() }
    }

    /// Trees of this tree's kind somewhere within it.
    fn within(&self, kind: Kind, found: &mut Vec<Tree>) {
        for part in &self.parts {
            if let Part::Tree(tree) = part {
                if tree.kind == kind {
                    found.push(tree.clone());
                } else {
                    tree.within(kind, found);
                }
            }
        }
    }

    /// The same tree, each time a little smaller in one place.
    pub fn smaller(&self) -> Vec<Tree> {
        let mut all = Vec::new();
        if self.kind != Kind::Clause {
            self.within(self.kind, &mut all);
        }
        if self.kind == Kind::Boolean && self.parts.len() > 1 {
            all.push(leaf(Kind::Boolean, "true"));
        }
        for (place, part) in self.parts.iter().enumerate() {
            let Part::Tree(tree) = part else { continue };
            let without = tree.optional.then(|| tree.nothing()).filter(|_| !tree.parts.is_empty());
            for smaller in without.into_iter().chain(tree.smaller()) {
                let mut parts = self.parts.clone();
                parts[place] = Part::Tree(Tree { optional: tree.optional, ..smaller });
                all.push(Tree { parts, ..self.clone() });
            }
        }
        all
    }
}
