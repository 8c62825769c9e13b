//! A line being typed: its text, the place in it, and what each key does to them. Pure.

use console::{Key, measure_text_width};

/// What a key led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyOutcome {
    /// The line has changed, or not; more keys are to come.
    Typing,
    /// The line is done.
    Entered,
    /// Ctrl-C: the line is thrown away.
    Cancelled,
    /// Ctrl-D on an empty line.
    Ended,
    /// An entry of the history is wanted: the one before, or the one after.
    Older,
    Newer,
    /// The screen is to be cleared.
    Clear,
}

/// The line. A newline in it, from the history, is a character like others.
#[derive(Debug, Default)]
pub(super) struct EditLine {
    characters: Vec<char>,
    /// Characters before the cursor.
    cursor: usize,
    /// What was cut last.
    cut: Vec<char>,
    /// An escape sequence of which more is to come.
    escaped: Option<String>,
}

impl EditLine {
    /// The text as typed.
    pub(super) fn text(&self) -> String {
        self.characters.iter().collect()
    }

    /// Takes another text, with the cursor behind it.
    pub(super) fn set(&mut self, text: &str) {
        self.characters = text.chars().collect();
        self.cursor = self.characters.len();
    }

    /// Does what a key asks.
    pub(super) fn press(&mut self, key: Key) -> KeyOutcome {
        if let Some(sequence) = self.escaped.take() {
            return self.press_escaped(sequence, key);
        }
        match key {
            Key::Enter => return KeyOutcome::Entered,
            Key::CtrlC => return KeyOutcome::Cancelled,
            Key::Char('\u{4}') if self.characters.is_empty() => return KeyOutcome::Ended,
            Key::ArrowUp | Key::Char('\u{10}') => return KeyOutcome::Older,
            Key::ArrowDown | Key::Char('\u{e}') => return KeyOutcome::Newer,
            Key::Char('\u{c}') => return KeyOutcome::Clear,
            Key::ArrowLeft | Key::Char('\u{2}') => self.cursor = self.before(),
            Key::ArrowRight | Key::Char('\u{6}') => self.cursor = self.after(),
            Key::Home => self.cursor = 0,
            Key::End => self.cursor = self.characters.len(),
            Key::Backspace => self.remove(self.before(), self.cursor),
            Key::Del | Key::Char('\u{4}') => self.remove(self.cursor, self.after()),
            Key::Char('\u{b}') => self.cut(self.cursor, self.characters.len()),
            Key::Char('\u{15}') => self.cut(0, self.cursor),
            Key::Char('\u{17}') => self.cut(self.word_before(), self.cursor),
            Key::Char('\u{19}') => self.insert(&self.cut.clone()),
            Key::Tab => self.insert(&['\t']),
            Key::Char(character) if !character.is_control() => self.insert(&[character]),
            Key::UnknownEscSeq(characters) => self.escape(&characters),
            _ => {}
        }
        KeyOutcome::Typing
    }

    /// Alt with a letter, or the begin of an arrow key with Ctrl or Alt (`ESC [ 1 ; 5 C`).
    fn escape(&mut self, characters: &[char]) {
        match characters {
            ['b' | 'B'] => self.cursor = self.word_before(),
            ['f' | 'F'] => self.cursor = self.word_after(),
            ['d' | 'D'] => self.cut(self.cursor, self.word_after()),
            ['[', .., ';'] => self.escaped = Some(String::new()),
            _ => {}
        }
    }

    fn press_escaped(&mut self, mut sequence: String, key: Key) -> KeyOutcome {
        match key {
            Key::Char('C') => self.cursor = self.word_after(),
            Key::Char('D') => self.cursor = self.word_before(),
            Key::Char(digit) if digit.is_ascii_digit() && sequence.len() < 2 => {
                sequence.push(digit);
                self.escaped = Some(sequence);
            }
            _ => {}
        }
        KeyOutcome::Typing
    }

    fn insert(&mut self, characters: &[char]) {
        self.characters.splice(self.cursor..self.cursor, characters.iter().copied());
        self.cursor += characters.len();
    }

    fn remove(&mut self, from: usize, to: usize) {
        self.characters.drain(from..to);
        self.cursor = from;
    }

    fn cut(&mut self, from: usize, to: usize) {
        self.cut = self.characters[from..to].to_vec();
        self.remove(from, to);
    }

    /// The place before the character at the left, with what is drawn over it.
    fn before(&self) -> usize {
        let place = self.characters[..self.cursor].iter().rposition(|character| width(*character) > 0);
        place.unwrap_or(0)
    }

    fn after(&self) -> usize {
        let next = (self.cursor + 1).min(self.characters.len());
        next + self.characters[next..].iter().take_while(|character| width(**character) == 0).count()
    }

    fn word_before(&self) -> usize {
        let left = &self.characters[..self.cursor];
        let word = left.iter().rposition(|character| is_in_words(*character)).map_or(0, |last| last + 1);
        left[..word].iter().rposition(|character| !is_in_words(*character)).map_or(0, |blank| blank + 1)
    }

    fn word_after(&self) -> usize {
        let right = &self.characters[self.cursor..];
        let word = right.iter().position(|character| is_in_words(*character)).unwrap_or(right.len());
        let length = right[word..].iter().take_while(|character| is_in_words(**character)).count();
        self.cursor + word + length
    }

    /// What of the line to draw in so many columns, and the column of the cursor in it.
    pub(super) fn view(&self, columns: usize) -> (String, usize) {
        let columns = columns.max(2);
        let mut start = 0;
        // Far enough to the left that the cursor is seen.
        while self.columns(start, self.cursor) >= columns {
            start += 1;
        }
        let mut shown = String::new();
        let mut used = 0;
        for character in &self.characters[start..] {
            used += width(*character);
            if used >= columns {
                break;
            }
            shown.push(visible(*character));
        }
        (shown, self.columns(start, self.cursor))
    }

    fn columns(&self, from: usize, to: usize) -> usize {
        self.characters[from..to].iter().map(|character| width(*character)).sum()
    }
}

fn is_in_words(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// What is drawn for a character: a line's end and a tab have to take one column.
fn visible(character: char) -> char {
    match character {
        '\n' => '⏎',
        '\t' => ' ',
        other => other,
    }
}

fn width(character: char) -> usize {
    measure_text_width(visible(character).encode_utf8(&mut [0; 4]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &[Key]) -> EditLine {
        let mut line = EditLine::default();
        for key in keys {
            assert_eq!(line.press(key.clone()), KeyOutcome::Typing, "{key:?}");
        }
        line
    }

    fn keys(text: &str) -> Vec<Key> {
        text.chars().map(Key::Char).collect()
    }

    /// The text after typing one and pressing keys, with `|` at the cursor.
    fn after(text: &str, more: &[Key]) -> String {
        let line = typed(&[keys(text), more.to_vec()].concat());
        let mut shown = line.characters.clone();
        shown.insert(line.cursor, '|');
        shown.into_iter().collect()
    }

    #[test]
    fn keys_edit() {
        let control = |letter: char| Key::Char(char::from(letter as u8 - b'a' + 1));
        let alt = |letter: char| Key::UnknownEscSeq(vec![letter]);
        assert_eq!(after("abc", &[Key::ArrowLeft, Key::Char('x')]), "abx|c");
        assert_eq!(after("abc", &[Key::Home, Key::Del, Key::ArrowRight]), "b|c");
        assert_eq!(after("abc", &[Key::Backspace, Key::Backspace, Key::Backspace, Key::Backspace]), "|");
        assert_eq!(after("select a_b, c", &[control('w')]), "select a_b, |");
        assert_eq!(after("select a_b, c", &[control('w'), control('w')]), "select |");
        assert_eq!(after("ab cd", &[alt('b'), control('k'), Key::Home, control('y')]), "cd|ab ");
        assert_eq!(after("ab cd", &[alt('b'), control('u')]), "|cd");
        assert_eq!(after("ab cd", &[Key::Home, alt('f')]), "ab| cd");
        assert_eq!(after("ab cd", &[Key::Home, control('d')]), "|b cd");
        assert_eq!(after("a", &[Key::ArrowRight, Key::End, Key::PageUp, Key::Unknown, Key::Char('\u{1}')]), "a|");
        let by_words = [Key::UnknownEscSeq(vec!['[', '1', ';']), Key::Char('5'), Key::Char('D')];
        assert_eq!(after("ab cd", &by_words), "ab |cd");
        // An accent that is a character of its own goes with its letter.
        assert_eq!(after("xe\u{301}", &[Key::ArrowLeft]), "x|e\u{301}");
        assert_eq!(after("xe\u{301}y", &[Key::Home, Key::ArrowRight, Key::Del]), "x|y");
    }

    #[test]
    fn keys_that_end_a_line() {
        let mut line = typed(&keys("a"));
        assert_eq!(line.press(Key::Char('\u{4}')), KeyOutcome::Typing);
        assert_eq!(line.press(Key::Backspace), KeyOutcome::Typing);
        assert_eq!(line.press(Key::Char('\u{4}')), KeyOutcome::Ended);
        assert_eq!((line.press(Key::CtrlC), line.press(Key::Enter)), (KeyOutcome::Cancelled, KeyOutcome::Entered));
        assert_eq!((line.press(Key::ArrowUp), line.press(Key::ArrowDown)), (KeyOutcome::Older, KeyOutcome::Newer));
    }

    #[test]
    fn a_long_line_shows_the_part_around_the_cursor() {
        let mut line = typed(&keys("abcdefgh"));
        assert_eq!(line.view(20), ("abcdefgh".to_owned(), 8));
        assert_eq!(line.view(5), ("efgh".to_owned(), 4));
        line.press(Key::Home);
        assert_eq!(line.view(5), ("abcd".to_owned(), 0));
        line.set("a\nb\t漢字");
        assert_eq!(line.view(20), ("a⏎b 漢字".to_owned(), 8));
        assert_eq!(line.view(6), (" 漢字".to_owned(), 5));
    }

    proptest::proptest! {
        #[test]
        fn no_keys_panic(presses in proptest::collection::vec(proptest::prelude::any::<(u8, char)>(), 0..60), columns in 0_usize..30) {
            let mut line = EditLine::default();
            for (kind, character) in presses {
                let key = match kind % 12 {
                    0 => Key::ArrowLeft,
                    1 => Key::ArrowRight,
                    2 => Key::Backspace,
                    3 => Key::Del,
                    4 => Key::Home,
                    5 => Key::UnknownEscSeq(vec!['b']),
                    6 => Key::UnknownEscSeq(vec!['d']),
                    7 => Key::Char(char::from(kind % 32)),
                    _ => Key::Char(character),
                };
                line.press(key);
                let (_, column) = line.view(columns);
                proptest::prop_assert!(column < columns.max(2));
            }
        }
    }
}
