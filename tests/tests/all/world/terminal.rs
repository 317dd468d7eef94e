//! A terminal with somebody at it: what is typed there, and what it shows.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::machine::Machine;
use osapi_tests::wait::until;

/// A terminal on which one program runs.
pub(crate) struct Terminal {
    keys: File,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// Runs `line`, with the terminal for its input and its errors and a pipe for its output. `setsid -c` gives a program the terminal
    /// as a shell does: then Ctrl-C is a signal to it.
    pub(crate) fn run(machine: &Machine, line: &str) -> (Self, Child) {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("there is one");
        grantpt(&terminal).expect("it is ours");
        unlockpt(&terminal).expect("it is ours");
        let name = ptsname(&terminal, Vec::new()).expect("it has a name");
        let name = name.to_str().expect("it is text");
        let end = File::options().read(true).write(true).open(name).expect("it is unlocked");
        let errors = end.try_clone().expect("there is room");
        let child = machine
            .typed(&format!("exec setsid -c {line}"))
            .with(|command| {
                command.stdin(end).stdout(Stdio::piped()).stderr(errors);
            })
            .start();
        let keys = File::from(terminal);
        let screen = keys.try_clone().expect("there is room");
        let shown = Arc::default();
        // The thread ends when nobody has the other end any more.
        thread::spawn({
            let shown = Arc::clone(&shown);
            move || collect(screen, &shown)
        });
        (Self { keys, shown }, child)
    }

    /// Types `text`.
    pub(crate) fn types(&mut self, text: &str) {
        self.keys.write_all(text.as_bytes()).expect("somebody has the other end");
    }

    /// Types Ctrl-C.
    pub(crate) fn types_ctrl_c(&mut self) {
        self.types("\x03");
    }

    /// Waits until the terminal shows `word` for the `nth` time.
    pub(crate) fn until_shown(&self, word: &str, nth: usize) {
        until(&format!("'{word}' is shown"), || {
            (self.shown().matches(word).count() >= nth).then_some(())
        });
    }

    /// What it has shown.
    pub(crate) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap()).into_owned()
    }
}

fn collect(mut screen: File, shown: &Mutex<Vec<u8>>) {
    let mut piece = [0; 4096];
    // Once the other end is closed, reading is an error (EIO).
    while let Ok(size @ 1..) = screen.read(&mut piece) {
        shown.lock().unwrap().extend_from_slice(&piece[..size]);
    }
}
