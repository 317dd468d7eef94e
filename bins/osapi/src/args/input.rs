//! What a command is given to read: a file, or the standard input of this program. Nothing else ever reads that.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::str::FromStr;

use osapi_core::job::limits::STDIN_MAX;
use osapi_core::job::{Invalid, Stdin};

/// The name by which the option is known in messages.
const OPTION: &str = "--stdin";

/// Where the bytes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input {
    /// The standard input of this program.
    Standard,
    /// A file.
    File(PathBuf),
}

impl FromStr for Input {
    type Err = Infallible;
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(if text == "-" { Self::Standard } else { Self::File(text.into()) })
    }
}

impl Input {
    /// Reads all of it.
    ///
    /// # Errors
    /// When it cannot be read, or is more than a command can be given.
    pub(crate) fn read(&self) -> Result<Stdin, Invalid> {
        let (name, read) = match self {
            Self::Standard => ("-".into(), read(io::stdin().lock())),
            Self::File(path) => (path.to_string_lossy(), File::open(path).and_then(read)),
        };
        let bytes = read.map_err(|error| {
            Invalid::new(OPTION, "what can be read", format!("'{name}': {error}"))
        })?;
        match bytes.len() > STDIN_MAX {
            true => {
                let bound = format!("at most {STDIN_MAX} bytes");
                Err(Invalid::new(OPTION, bound, format!("'{name}', which is larger")))
            }
            false => Ok(Stdin::from(bytes)),
        }
    }
}

fn read(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(STDIN_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        text.parse::<Input>().unwrap().read().unwrap_err().to_string()
    }

    #[test]
    fn a_file_is_taken_up_to_the_last_byte_that_a_command_can_be_given() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("input");
        for size in [0, 1, STDIN_MAX] {
            let bytes = vec![0xff; size];
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(Input::File(path.clone()).read().unwrap().as_bytes(), bytes);
        }
        std::fs::write(&path, vec![0; STDIN_MAX + 1]).unwrap();
        let text = refused(path.to_str().unwrap());
        assert!(text.starts_with("--stdin must be at most 262144 bytes, not "), "{text}");
    }

    #[test]
    fn what_cannot_be_read_is_said_with_its_name() {
        for (path, why) in [("/no/such/file", "No such file"), ("/", "directory")] {
            let text = refused(path);
            assert!(text.contains(path) && text.contains(why), "{text}");
        }
    }
}
