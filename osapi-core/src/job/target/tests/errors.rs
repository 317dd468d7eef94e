//! What is no target: what is wrong, where, and what would be right.

use crate::job::limits::TARGET_MAX;
use crate::job::target::{InvalidTarget, Target};

fn refused(text: &str) -> InvalidTarget {
    match text.parse::<Target>() {
        Err(err) => err,
        Ok(target) => panic!("{text:?} is {target:?}"),
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let not_in_a_name = "is no part of a name, which has letters, digits, '_' and '-'";
    let reserved = "there are '_any' and '_all'";
    for (text, column, said) in [
        ("!", 2, "a name, a label or a pattern is missing here"),
        ("web-01,", 8, "a name, a label or a pattern is missing here"),
        (",web-01", 1, "a name, a label or a pattern is missing here"),
        ("web-01,,db", 8, "a name, a label or a pattern is missing here"),
        ("web-01, ,db", 9, "a name, a label or a pattern is missing here"),
        ("web-01&", 8, "a name, a label or a pattern is missing here"),
        ("&", 1, "a name, a label or a pattern is missing here"),
        ("web-01,!,db", 9, "a name, a label or a pattern is missing here"),
        ("web-01 db-01", 8, "'d' needs ',' (or) or '&' (and) before it"),
        ("web-01!db", 7, "'!' needs ',' (or) or '&' (and) before it"),
        ("_all,!!web-01", 7, "'!' is written twice: leave both out"),
        ("(a,b)&c", 1, "there are no parentheses: for 'a or b, and c' write a&c,b&c"),
        ("a&(b,c)", 3, "there are no parentheses: for 'a or b, and c' write a&c,b&c"),
        ("a)", 2, "there are no parentheses: for 'a or b, and c' write a&c,b&c"),
        ("_", 1, &format!("unknown reserved word '_': {reserved}")),
        ("_ANY", 1, &format!("unknown reserved word '_ANY': {reserved}")),
        ("web,_al*", 5, &format!("unknown reserved word '_al*': {reserved}")),
        ("_any,web-01", 1, "'_any' stands alone: it is one host out of all"),
        ("_all,!_any", 7, "'_any' stands alone: it is one host out of all"),
        ("web-*,!_all", 7, "'!_all' leaves no host"),
        ("!web-07", 1, "it only says which hosts are left out: write _all,!web-07"),
        ("!a&!b, !c", 1, "it only says which hosts are left out: write _all,!a&!b, !c"),
        ("a/b", 2, &format!("'/' {not_in_a_name}")),
        ("web-01,é", 8, &format!("'é' {not_in_a_name}")),
        ("é,web-01", 1, &format!("'é' {not_in_a_name}")),
        ("a\0", 2, &format!("'\\0' {not_in_a_name}")),
        ("a\tb", 2, &format!("'\\t' {not_in_a_name}")),
        ("@hosts", 1, &format!("'@' {not_in_a_name}")),
        ("web,-a", 5, "a name starts with a letter or a digit, not with '-'"),
        ("-a.b", 1, "a name starts with a letter or a digit, not with '-'"),
        ("-*", 1, "a name starts with a letter or a digit, not with '-'"),
        ("web-[01", 5, "'[' is not closed by ']'"),
        ("web-[01,db", 5, "'[' is not closed by ']'"),
        ("web-01]", 7, "']' closes no '['"),
        (
            "web-[a-z]",
            5,
            "'[a-z]' is no range of numbers: write one such as [1-9], [01-20] or [1-3,7]",
        ),
        ("web-[]", 5, "'[]' is no range of numbers: write one such as [1-9], [01-20] or [1-3,7]"),
        (
            "web-[1-]",
            5,
            "'[1-]' is no range of numbers: write one such as [1-9], [01-20] or [1-3,7]",
        ),
        (
            "web-[1-2-3]",
            5,
            "'[1-2-3]' is no range of numbers: write one such as [1-9], [01-20] or [1-3,7]",
        ),
        (
            "web-[1,,2]",
            5,
            "'[1,,2]' is no range of numbers: write one such as [1-9], [01-20] or [1-3,7]",
        ),
        (
            "web-[1.2]",
            5,
            "'[1.2]' is no range of numbers: write one such as [1-9], [01-20] or [1-3,7]",
        ),
        (
            "web-[[1]]",
            5,
            "'[[1]' is no range of numbers: write one such as [1-9], [01-20] or [1-3,7]",
        ),
        ("[9-1]", 1, "range 9-1 ends before it begins: write 1-9"),
        ("db,web-[1-3,20-01]", 8, "range 20-01 ends before it begins: write 01-20"),
        (
            "web-[01-100]",
            5,
            "the ends of range 01-100 have different widths: pad both with zeros, or none",
        ),
        (
            "web-[1-010]",
            5,
            "the ends of range 1-010 have different widths: pad both with zeros, or none",
        ),
        ("web-[1-9999999999]", 5, "number 9999999999 is too large: at most 9 digits are allowed"),
        ("a,web-[1-20001]", 3, "its ranges make 20001 names: at most 20000 are allowed"),
        ("r[1-200]-[1-200]", 1, "its ranges make 40000 names: at most 20000 are allowed"),
        (
            "web-*.example.com",
            5,
            "a host name with dots is looked up as it is: globs and ranges are for names and labels",
        ),
        (
            "a.b[1-2]",
            4,
            "a host name with dots is looked up as it is: globs and ranges are for names and labels",
        ),
        ("a..b", 3, "there is nothing between two dots, or before or after one"),
        (".a", 1, "there is nothing between two dots, or before or after one"),
        ("a.b.", 4, "there is nothing between two dots, or before or after one"),
        (".", 1, "there is nothing between two dots, or before or after one"),
        ("a.b/c", 4, &format!("'/' {not_in_a_name}")),
        (":web", 1, "invalid label key '': must be 1 to 63 letters, digits, '_' or '-'"),
        (
            "web,gr*p:web",
            5,
            "invalid label key 'gr*p': must be 1 to 63 letters, digits, '_' or '-'",
        ),
        ("a.b:c", 1, "invalid label key 'a.b': must be 1 to 63 letters, digits, '_' or '-'"),
        ("group:", 1, "label 'group:' has no value: write group:* for any"),
        ("group:web..dev", 11, "there is nothing between two dots, or before or after one"),
        ("group:web.", 11, "there is nothing between two dots, or before or after one"),
        ("group:web:dev", 10, &format!("':' {not_in_a_name}")),
        ("group:[9-1]", 7, "range 9-1 ends before it begins: write 1-9"),
    ] {
        let err = refused(text);
        assert_eq!(
            err.to_string(),
            format!("target is wrong at column {column}: {said}"),
            "{text}"
        );
    }
}

#[test]
fn nothing_is_no_target() {
    for text in ["", " ", "\t\n"] {
        assert_eq!(refused(text), InvalidTarget::Empty, "{text:?}");
    }
}

#[test]
fn lengths_are_bounded() {
    let name = "x".repeat(63);
    assert!(name.parse::<Target>().is_ok());
    for (text, column, max) in [
        (format!("web,{name}y"), 5, 63),
        (format!("{name}?"), 1, 63),
        (format!("a,k:{}", "v".repeat(129)), 3, 128),
        (format!("{}.b", "a".repeat(252)), 1, 253),
    ] {
        let said =
            format!("target is wrong at column {column}: a name has at most {max} characters");
        assert_eq!(refused(&text).to_string(), said);
    }
    assert!(format!("{name}*").parse::<Target>().is_ok());
    assert!(format!("k:{}", "v".repeat(128)).parse::<Target>().is_ok());
}

#[test]
fn a_text_is_bounded_before_it_is_looked_at() {
    let longest = format!("{}web", "web,".repeat(TARGET_MAX / 4)).split_off(3);
    assert_eq!(longest.len(), TARGET_MAX);
    assert!(longest.trim_start_matches(',').parse::<Target>().is_ok());
    let err = refused(&format!("{longest}\0"));
    assert_eq!(err, InvalidTarget::TooLong(TARGET_MAX + 1));
    assert_eq!(err.to_string(), "target has 4097 bytes: at most 4096 are allowed");
    let said = refused(&format!("!{}", "x*,!".repeat(500))).to_string();
    assert!(said.len() < 300, "what is repeated of a text is cut: {said}");
    let said = refused(&format!("_{}", "x".repeat(4000))).to_string();
    assert!(said.len() < 300, "what is repeated of a text is cut: {said}");
}
