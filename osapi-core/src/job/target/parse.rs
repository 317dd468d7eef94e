//! Reads the language of targets. Every error has its column.

use super::Target;
use super::error::{InvalidTarget, Wrong, cut};
use super::expression::{Atom, Expression, Hostname, Term};
use super::numbers::Numbers;
use super::pattern::{Element, Pattern};
use crate::id::AgentName;
use crate::job::label::{LabelKey, is_word_character};
use crate::job::limits::{HOSTNAME_MAX, HOSTS_MAX, LABEL_VALUE_MAX, TARGET_MAX};

/// The target that `text` is.
pub(super) fn target(text: &str) -> Result<Target, InvalidTarget> {
    if text.len() > TARGET_MAX {
        return Err(InvalidTarget::TooLong(text.len()));
    }
    match text.trim_matches(' ') {
        word if word.trim().is_empty() => Err(InvalidTarget::Empty),
        Target::ANY => Ok(Target::Any),
        _ => Parser { text, at: 0 }.expression().map(simplest),
    }
}

/// One host, or all of them, have a variant of their own.
fn simplest(expression: Expression) -> Target {
    match (expression.included.as_slice(), expression.excluded.as_slice()) {
        ([Term { all_of, none_of }], []) if none_of.is_empty() => match all_of.as_slice() {
            [Atom::All] => Target::All,
            [Atom::Name(name)] => Target::Host(name.clone()),
            _ => Target::Hosts(expression),
        },
        _ => Target::Hosts(expression),
    }
}

/// A place in a text.
struct Parser<'a> {
    text: &'a str,
    /// In bytes, and always between two characters.
    at: usize,
}

/// An atom, and whether `!` stands before it.
struct Factor {
    is_excluded: bool,
    atom: Atom,
}

impl<'a> Parser<'a> {
    fn expression(&mut self) -> Result<Expression, InvalidTarget> {
        let mut expression = Expression { included: Vec::new(), excluded: Vec::new() };
        loop {
            let Term { all_of, none_of } = self.term()?;
            match all_of.is_empty() {
                true => expression.excluded.extend(none_of),
                false => expression.included.push(Term { all_of, none_of }),
            }
            if !self.take(',') {
                break;
            }
        }
        match self.peek() {
            Some('(' | ')') => Err(self.wrong(Wrong::Parenthesis)),
            Some(c) => Err(self.wrong(Wrong::Unexpected(c))),
            None if expression.included.is_empty() => {
                Err(Wrong::OnlyExclusions(cut(self.text.trim_matches(' '))).at(1))
            }
            None => Ok(expression),
        }
    }

    fn term(&mut self) -> Result<Term, InvalidTarget> {
        let mut term = Term::default();
        loop {
            let Factor { is_excluded, atom } = self.factor()?;
            if is_excluded { &mut term.none_of } else { &mut term.all_of }.push(atom);
            if !self.take('&') {
                return Ok(term);
            }
        }
    }

    fn factor(&mut self) -> Result<Factor, InvalidTarget> {
        let start = self.skip_spaces();
        let is_excluded = self.take('!');
        self.skip_spaces();
        if self.peek() == Some('!') {
            return Err(self.wrong(Wrong::NotTwice));
        }
        let atom = self.atom()?;
        match atom {
            Atom::All if is_excluded => Err(Wrong::ExcludesAll.at(self.column(start))),
            atom => Ok(Factor { is_excluded, atom }),
        }
    }

    fn atom(&mut self) -> Result<Atom, InvalidTarget> {
        let (text, at) = (self.text, self.at);
        let end = at + self.length_of_atom()?;
        let word = &text[at..end];
        if word.is_empty() {
            let is_parenthesis = matches!(self.peek(), Some('(' | ')'));
            let wrong = if is_parenthesis { Wrong::Parenthesis } else { Wrong::Missing };
            return Err(self.wrong(wrong));
        }
        let atom = match word {
            Target::ALL => Ok(Atom::All),
            Target::ANY => Err(self.wrong(Wrong::AnyIsNotAlone)),
            _ if word.starts_with('_') && !word.contains(':') => {
                Err(self.wrong(Wrong::Reserved(cut(word))))
            }
            _ => Parser { text: &text[..end], at }.host(),
        };
        self.at = end;
        atom
    }

    /// Up to what ends an atom, but for what stands between brackets.
    fn length_of_atom(&self) -> Result<usize, InvalidTarget> {
        let mut open = None;
        for (n, c) in self.rest().char_indices() {
            match (open, c) {
                (None, ',' | '&' | '!' | ' ' | '(' | ')') => return Ok(n),
                (None, '[') => open = Some(self.at + n),
                (Some(_), ']') => open = None,
                _ => {}
            }
        }
        match open {
            Some(open) => Err(Wrong::Unclosed.at(self.column(open))),
            None => Ok(self.rest().len()),
        }
    }

    /// An atom that is no reserved word and goes up to the end of the text.
    fn host(&mut self) -> Result<Atom, InvalidTarget> {
        let word = self.rest();
        // What stands between brackets says nothing about what kind of atom it is.
        let outside = word.split(['[', ']']).step_by(2);
        let (mut has_colon, mut has_dot) = (false, false);
        for part in outside {
            has_colon |= part.contains(':');
            has_dot |= part.contains('.');
        }
        match () {
            () if has_colon => self.label(),
            () if has_dot => self.hostname(),
            () => self.name(),
        }
    }

    fn name(&mut self) -> Result<Atom, InvalidTarget> {
        let start = self.at;
        if self.peek() == Some('-') {
            return Err(self.wrong(Wrong::NameStart));
        }
        let pattern = self.pattern(None)?;
        if pattern.min_len() > AgentName::MAX {
            return Err(Wrong::TooLong(AgentName::MAX).at(self.column(start)));
        }
        match pattern.as_literal().map(str::parse) {
            Some(Ok(name)) => Ok(Atom::Name(name)),
            _ => Ok(Atom::Pattern(pattern)),
        }
    }

    fn hostname(&mut self) -> Result<Atom, InvalidTarget> {
        let start = self.at;
        let hostname = self.rest().to_owned();
        if hostname.len() > HOSTNAME_MAX {
            return Err(self.wrong(Wrong::TooLong(HOSTNAME_MAX)));
        }
        let mut is_between = false;
        while let Some(c) = self.peek() {
            match c {
                '.' if !is_between => return Err(self.wrong(Wrong::EmptySegment)),
                '.' => is_between = false,
                '*' | '?' | '[' | ']' => return Err(self.wrong(Wrong::PatternInHostname)),
                _ => {
                    self.word_character(c)?;
                    is_between = true;
                }
            }
            self.at += c.len_utf8();
        }
        match is_between {
            true if self.text[start..].starts_with('-') => {
                Err(Wrong::NameStart.at(self.column(start)))
            }
            true => Ok(Atom::Hostname(Hostname(hostname))),
            false => Err(Wrong::EmptySegment.at(self.column(self.at - 1))),
        }
    }

    fn label(&mut self) -> Result<Atom, InvalidTarget> {
        let start = self.at;
        let word = self.rest();
        let (key, value) = word.split_once(':').unwrap_or((word, ""));
        let key: LabelKey = key.parse().map_err(|err| self.wrong(Wrong::LabelKey(err)))?;
        if value.is_empty() {
            return Err(self.wrong(Wrong::NoLabelValue(key.to_string())));
        }
        self.at += key.as_str().len() + 1;
        let mut segments = Vec::new();
        loop {
            let segment = self.pattern(Some('.'))?;
            if segment.is_empty() {
                return Err(self.wrong(Wrong::EmptySegment));
            }
            segments.push(segment);
            if self.peek() != Some('.') {
                break;
            }
            self.at += 1;
        }
        let shortest: usize = segments.iter().map(|segment| segment.min_len() + 1).sum();
        if shortest > LABEL_VALUE_MAX + 1 {
            return Err(Wrong::TooLong(LABEL_VALUE_MAX).at(self.column(start)));
        }
        Ok(Atom::Label { key, segments })
    }

    /// A pattern up to `stop`, or to the end of the text.
    fn pattern(&mut self, stop: Option<char>) -> Result<Pattern, InvalidTarget> {
        let start = self.at;
        let mut pattern = Pattern::default();
        while let Some(c) = self.peek().filter(|c| Some(*c) != stop) {
            let (element, length) = match c {
                '*' => (Element::Many, 1),
                '?' => (Element::One, 1),
                '[' => self.numbers()?,
                ']' => return Err(self.wrong(Wrong::Unopened)),
                _ => {
                    self.word_character(c)?;
                    (Element::Literal(c.into()), 1)
                }
            };
            pattern.push(element);
            self.at += length;
        }
        match pattern.count() {
            count if count > HOSTS_MAX as u64 => {
                Err(Wrong::TooManyNames(count).at(self.column(start)))
            }
            _ => Ok(pattern),
        }
    }

    fn numbers(&self) -> Result<(Element, usize), InvalidTarget> {
        let inner = &self.rest()[1..];
        let inner = inner.split_once(']').map(|(inner, _)| inner);
        let inner = inner.ok_or_else(|| self.wrong(Wrong::Unclosed))?;
        let numbers = Numbers::parse(inner).map_err(|wrong| self.wrong(wrong))?;
        Ok((Element::Numbers(numbers), inner.len() + 2))
    }

    fn word_character(&self, c: char) -> Result<(), InvalidTarget> {
        match u8::try_from(c) {
            Ok(byte) if is_word_character(byte) => Ok(()),
            _ => Err(self.wrong(Wrong::Character(c))),
        }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Skips spaces, and tells where it then is.
    fn skip_spaces(&mut self) -> usize {
        self.at = self.text.len() - self.rest().trim_start_matches(' ').len();
        self.at
    }

    /// Skips spaces, and `c` if it comes next.
    fn take(&mut self, c: char) -> bool {
        self.skip_spaces();
        let is_next = self.peek() == Some(c);
        self.at += if is_next { c.len_utf8() } else { 0 };
        is_next
    }

    fn column(&self, at: usize) -> usize {
        self.text[..at].chars().count() + 1
    }

    fn wrong(&self, wrong: Wrong) -> InvalidTarget {
        wrong.at(self.column(self.at))
    }
}
