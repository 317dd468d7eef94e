//! The beginning of a text that may be long.

/// Most characters that are shown of a target in a list or a question.
pub(crate) const TARGET: usize = 60;

/// Most characters that are shown of a command in a question.
pub(crate) const COMMAND: usize = 400;

/// At most `max` characters of `text`, and dots if that is not all.
pub(crate) fn of(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_ends_with_dots() {
        assert_eq!(of("web-01", 6), "web-01");
        assert_eq!(of("web-012", 6), "web-01...");
        assert_eq!(of("éé", 1), "é...");
    }
}
