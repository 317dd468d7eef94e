//! Tables as aligned text: the first column to the left, the others to the right.

use std::fmt;
use std::time::Duration;

use crate::stats::Summary;

/// A table under construction.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with this head.
    pub(crate) fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(|&cell| cell.to_owned()).collect()] }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Adds a row of measurements, with what follows them.
    pub(crate) fn measured(
        &mut self,
        what: &str,
        summary: &Summary,
        rest: impl IntoIterator<Item = String>,
    ) {
        let times = [summary.p10, summary.median, summary.p90].map(millis);
        let what = std::iter::once(what.to_owned());
        self.row(what.chain(times).chain([summary.count.to_string()]).chain(rest));
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.rows {
            for (column, cell) in row.iter().enumerate() {
                let width = self.width(column);
                match column {
                    0 => write!(f, "{cell:<width$}")?,
                    _ => write!(f, "  {cell:>width$}")?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// A time in milliseconds.
pub(crate) fn millis(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1e3)
}

/// A ratio.
pub(crate) fn times(ratio: f64) -> String {
    format!("{ratio:.2} ×")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(&["what", "median"]);
        table.row(["a longer name".to_owned(), millis(Duration::from_micros(1250))]);
        table.row(["b".to_owned(), times(2.0)]);
        let expected = "\
what             median
a longer name  1.250 ms
b                2.00 ×
";
        assert_eq!(table.to_string(), expected);
    }
}
