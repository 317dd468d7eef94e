//! Makes visible what a terminal would obey or hide. What hosts wrote is data.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Bytes of a host for a terminal: newline and tab stay; every other control character, every character that reorders or hides
/// text, and every byte that is no UTF-8 is shown as an escape such as `\x1b` or `\u{202e}`.
#[must_use]
pub fn bytes(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes)
        && !text.chars().any(is_hostile)
    {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push(&mut shown, c));
        chunk.invalid().iter().for_each(|byte| push_hex(&mut shown, *byte));
    }
    Cow::Owned(shown)
}

/// A text for one line of a table or a message: as [`bytes`], and line breaks and tabs are shown too.
#[must_use]
pub fn line(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| is_hostile(c) || c == '\n' || c == '\t') {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => shown.push_str("\\n"),
            '\t' => shown.push_str("\\t"),
            c => push(&mut shown, c),
        }
    }
    Cow::Owned(shown)
}

/// A JSON document for a terminal: the same characters in JSON's own notation, so that it stays the same document. Its writer
/// has escaped the C0 controls inside texts already.
#[must_use]
pub fn json(document: &str) -> Cow<'_, str> {
    if !document.chars().any(is_hostile) {
        return Cow::Borrowed(document);
    }
    let mut shown = String::with_capacity(document.len() + 16);
    for c in document.chars() {
        if is_hostile(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(shown, "\\u{unit:04x}").expect("a string takes all");
            }
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

fn push(shown: &mut String, c: char) {
    match c {
        '\r' => shown.push_str("\\r"),
        c if !is_hostile(c) => shown.push(c),
        c if c.is_ascii() => push_hex(shown, c as u8),
        c => shown.extend(c.escape_unicode()),
    }
}

fn push_hex(shown: &mut String, byte: u8) {
    write!(shown, "\\x{byte:02x}").expect("a string takes all");
}

/// Whether a terminal would obey or hide `c`: control characters (C0 but newline and tab, DEL, C1), line and paragraph separators,
/// interlinear marks, and what Unicode calls default-ignorable, which includes every bidirectional control (UAX #9) and
/// zero-width character (DerivedCoreProperties.txt).
fn is_hostile(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        c if c.is_control() => true,
        '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}' => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_is_left_alone() {
        for text in ["", "a\tb\n", "grüße 漢字 🙂 é e\u{301}", "C:\\x1b"] {
            assert!(matches!(bytes(text.as_bytes()), Cow::Borrowed(same) if same == text));
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        for (raw, shown) in [
            ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
            ("\x1b]0;title", "\\x1b]0;title"),
            ("50%\r100%\n", "50%\\r100%\n"),
            ("\x07\x08\x7f\0", "\\x07\\x08\\x7f\\x00"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("user\u{202e}txt.exe", "user\\u{202e}txt.exe"),
            ("a\u{200b}b\u{feff}", "a\\u{200b}b\\u{feff}"),
        ] {
            assert_eq!(bytes(raw.as_bytes()), shown);
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_each() {
        assert_eq!(bytes(b"a\xff\xfe\x1bb\xe2\x82"), "a\\xff\\xfe\\x1bb\\xe2\\x82");
    }

    #[test]
    fn a_line_stays_one_line() {
        assert_eq!(line("a\nb\tc\x1b"), "a\\nb\\tc\\x1b");
    }

    proptest::proptest! {
        #[test]
        fn no_control_character_survives(raw in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let shown = bytes(&raw);
            proptest::prop_assert!(shown.chars().all(|c| c == '\n' || c == '\t' || !c.is_control()));
            proptest::prop_assert!(!shown.chars().any(is_hostile));
        }

        #[test]
        fn nothing_hidden_survives(raw in "[a\\n\\u{80}-\\u{9f}\\u{200b}-\\u{206f}\\u{feff}\\u{e0020}]{0,40}") {
            proptest::prop_assert!(!bytes(raw.as_bytes()).chars().any(is_hostile));
            proptest::prop_assert!(!line(&raw).chars().any(|c| is_hostile(c) || c == '\n'));
        }

        #[test]
        fn json_stays_the_same_document(text in proptest::prelude::any::<String>()) {
            let document = serde_json::to_string_pretty(&[&text, "\u{202e}\u{e0001}\u{7f}"]).unwrap();
            let shown = json(&document);
            proptest::prop_assert!(!shown.chars().any(is_hostile));
            proptest::prop_assert_eq!(
                serde_json::from_str::<serde_json::Value>(&shown).unwrap(),
                serde_json::from_str::<serde_json::Value>(&document).unwrap()
            );
        }
    }
}
