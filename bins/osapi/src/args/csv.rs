//! Arguments in one line of comma-separated values (RFC 4180).

use std::str::FromStr;

/// The values of one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CsvArgs(pub(crate) Vec<String>);

/// A text that is not one line of comma-separated values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidCsv {
    #[error("a quote '\"' is not closed; inside quotes write it twice")]
    OpenQuote,
    #[error("must be one line; put a line break between quotes")]
    Lines,
    #[error("must be values separated by commas")]
    Unreadable,
}

impl FromStr for CsvArgs {
    type Err = InvalidCsv;
    fn from_str(text: &str) -> Result<Self, InvalidCsv> {
        // The reader takes the end of the text for the closing quote. In a whole line quotes come in pairs.
        if !text.matches('"').count().is_multiple_of(2) {
            return Err(InvalidCsv::OpenQuote);
        }
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .from_reader(text.as_bytes());
        let mut lines = reader.records();
        let Some(first) = lines.next() else { return Ok(Self(Vec::new())) };
        let first = first.map_err(|_| InvalidCsv::Unreadable)?;
        if lines.next().is_some() {
            return Err(InvalidCsv::Lines);
        }
        Ok(Self(first.iter().map(str::to_owned).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(text: &str) -> Vec<String> {
        text.parse::<CsvArgs>().unwrap().0
    }

    #[test]
    fn commas_separate_and_quotes_protect() {
        assert_eq!(args("-la,/tmp"), ["-la", "/tmp"]);
        assert_eq!(args(r#"a,"b,c",d"#), ["a", "b,c", "d"]);
        assert_eq!(args(r#""say ""hi""",x"#), ["say \"hi\"", "x"]);
        assert_eq!(args("a, b ,"), ["a", " b ", ""]);
        assert_eq!(args("\"a\nb\""), ["a\nb"]);
        assert_eq!(args("*,$HOME,|>"), ["*", "$HOME", "|>"]);
        assert_eq!(args("# no comment"), ["# no comment"]);
    }

    #[test]
    fn nothing_is_no_argument_and_quotes_are_an_empty_one() {
        assert_eq!(args(""), [""; 0]);
        assert_eq!(args(r#""""#), [""]);
        assert_eq!(args(r#"a,"""#), ["a", ""]);
    }

    #[test]
    fn what_is_no_line_of_values_is_refused() {
        assert_eq!(r#"a,"b"#.parse::<CsvArgs>(), Err(InvalidCsv::OpenQuote));
        assert_eq!("a\nb".parse::<CsvArgs>(), Err(InvalidCsv::Lines));
    }

    proptest::proptest! {
        #[test]
        fn every_list_can_be_written(list in proptest::collection::vec(".*", 1..5)) {
            let quoted: Vec<_> = list.iter().map(|arg| format!("\"{}\"", arg.replace('"', "\"\""))).collect();
            proptest::prop_assert_eq!(args(&quoted.join(",")), list);
        }
    }
}
