//! Where output goes, and whether somebody looks at it.

use std::io::{self, BufWriter, IsTerminal as _, Write};

use serde::Serialize;

use super::escape;

/// Standard output and standard error.
pub(crate) struct Screen {
    out: Sink,
    err: Sink,
}

/// One of the two.
struct Sink {
    to: Box<dyn Write + Send>,
    is_terminal: bool,
    raw: bool,
}

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

impl Screen {
    /// The process's own. With `raw` control characters stay as they are, also on a terminal.
    pub(crate) fn standard(raw: bool) -> Self {
        let (out, err) = (io::stdout(), io::stderr());
        let (out_is_terminal, err_is_terminal) = (out.is_terminal(), err.is_terminal());
        Self {
            out: Sink { to: Box::new(BufWriter::new(out)), is_terminal: out_is_terminal, raw },
            err: Sink { to: Box::new(BufWriter::new(err)), is_terminal: err_is_terminal, raw },
        }
    }

    /// Bytes of a host: as they are, except that a terminal is shown what it would obey.
    pub(crate) fn host(&mut self, side: Side, bytes: &[u8]) -> io::Result<()> {
        let sink = self.side(side);
        if sink.is_terminal && !sink.raw {
            sink.to.write_all(escape::bytes(bytes).as_bytes())?;
        } else {
            sink.to.write_all(bytes)?;
        }
        self.flush(side)
    }

    /// A line of our own, which may quote others.
    pub(crate) fn line(&mut self, side: Side, text: &str) -> io::Result<()> {
        writeln!(self.side(side).to, "{}", escape::line(text))?;
        self.flush(side)
    }

    /// Several lines of our own, whose cells were escaped.
    pub(crate) fn block(&mut self, side: Side, text: &str) -> io::Result<()> {
        self.side(side).to.write_all(text.as_bytes())?;
        self.flush(side)
    }

    /// A JSON document on standard output: one line, or indented on a terminal.
    pub(crate) fn json<T: Serialize>(&mut self, value: &T) -> io::Result<()> {
        let sink = &mut self.out;
        if sink.is_terminal {
            let text = serde_json::to_string_pretty(value)?;
            let text = if sink.raw { text.into() } else { escape::json(&text) };
            writeln!(sink.to, "{text}")?;
        } else {
            serde_json::to_writer(&mut sink.to, value)?;
            writeln!(sink.to)?;
        }
        self.flush(Side::Out)
    }

    fn side(&mut self, side: Side) -> &mut Sink {
        match side {
            Side::Out => &mut self.out,
            Side::Err => &mut self.err,
        }
    }

    /// Both sides may be one terminal, so the order of writes has to be the order in which they show.
    fn flush(&mut self, side: Side) -> io::Result<()> {
        self.side(side).to.flush()
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What was written: both sides into one text, the lines of standard error after `!`.
    #[derive(Clone, Default)]
    pub(crate) struct Paper(Arc<Mutex<(Vec<u8>, Vec<u8>)>>);

    struct Pen(Paper, Side);

    impl Write for Pen {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut paper = self.0.0.lock().unwrap();
            let (out, err) = &mut *paper;
            match self.1 {
                Side::Out => out.extend_from_slice(bytes),
                Side::Err => err.extend_from_slice(bytes),
            }
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Paper {
        pub(crate) fn screen(&self, is_terminal: bool, raw: bool) -> Screen {
            let sink = |side| Sink { to: Box::new(Pen(self.clone(), side)), is_terminal, raw };
            Screen { out: sink(Side::Out), err: sink(Side::Err) }
        }

        pub(crate) fn out(&self) -> Vec<u8> {
            self.0.lock().unwrap().0.clone()
        }

        pub(crate) fn out_text(&self) -> String {
            String::from_utf8(self.out()).unwrap()
        }

        pub(crate) fn err_text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().1.clone()).unwrap()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::Paper;
    use super::*;

    #[test]
    fn a_pipe_gets_the_bytes_as_they_are() {
        let paper = Paper::default();
        let raw = b"\x1b[31m\xff\0\r\n";
        paper.screen(false, false).host(Side::Out, raw).unwrap();
        assert_eq!(paper.out(), raw);
    }

    #[test]
    fn a_terminal_gets_them_escaped_unless_raw() {
        let (paper, raw_paper) = (Paper::default(), Paper::default());
        paper.screen(true, false).host(Side::Out, b"\x1b[31m").unwrap();
        raw_paper.screen(true, true).host(Side::Out, b"\x1b[31m").unwrap();
        assert_eq!(paper.out(), b"\\x1b[31m");
        assert_eq!(raw_paper.out(), b"\x1b[31m");
    }

    #[test]
    fn json_is_one_line_on_a_pipe_and_indented_on_a_terminal() {
        let (pipe, terminal) = (Paper::default(), Paper::default());
        pipe.screen(false, false).json(&["\u{202e}"]).unwrap();
        terminal.screen(true, false).json(&["\u{202e}"]).unwrap();
        assert_eq!(pipe.out_text(), "[\"\u{202e}\"]\n");
        assert_eq!(terminal.out_text(), "[\n  \"\\u202e\"\n]\n");
    }
}
