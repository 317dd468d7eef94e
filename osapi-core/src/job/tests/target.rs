//! Targets, and texts that are none.

use crate::job::limits::TARGET_MAX;
use crate::job::target::{InvalidTarget, Target};

#[test]
fn a_target_is_a_reserved_word_or_a_host() {
    assert_eq!("_any".parse(), Ok(Target::Any));
    assert_eq!("_all".parse(), Ok(Target::All));
    assert_eq!("web-01".parse(), Ok(Target::Host("web-01".parse().unwrap())));
}

#[test]
fn a_target_is_written_as_it_is_read() {
    for text in ["_any", "_all", "web-01"] {
        assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
    }
}

#[test]
fn nothing_is_no_target() {
    for text in ["", " ", "\t\n"] {
        assert_eq!(text.parse::<Target>(), Err(InvalidTarget::Empty), "{text:?}");
    }
}

#[test]
fn reserved_words_are_not_guessed() {
    for text in ["_", "_ANY", "_all ", "_any,_all", "_none"] {
        let err = text.parse::<Target>().unwrap_err();
        assert_eq!(err, InvalidTarget::Reserved(text.to_owned()));
        assert!(err.to_string().contains("there are '_any' and '_all'"), "{err}");
    }
}

#[test]
fn a_host_is_one_token() {
    for text in ["a/b", "../x", "a b", " a", "a.b", "é", "a\0", "*", "-a", &"x".repeat(64)] {
        let err = text.parse::<Target>().unwrap_err();
        assert!(matches!(err, InvalidTarget::Name { .. }), "{text:?}: {err}");
        assert!(!err.to_string().contains('\0'), "{err:?}");
    }
    assert!("x".repeat(63).parse::<Target>().is_ok());
}

#[test]
fn a_text_is_bounded_before_it_is_looked_at() {
    let text = "x".repeat(TARGET_MAX);
    assert!(
        matches!(text.parse::<Target>(), Err(InvalidTarget::Name { text, .. }) if text.len() == 80)
    );
    let err = format!("{text}x").parse::<Target>().unwrap_err();
    assert_eq!(err, InvalidTarget::TooLong(TARGET_MAX + 1));
    assert_eq!(err.to_string(), "target has 4097 bytes: at most 4096 are allowed");
}
