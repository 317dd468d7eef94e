//! Waiting for the outcome of a job, and what an interrupt makes of it: it ends the waiting, or the job.

use std::io;
use std::pin::pin;
use std::thread;
use std::time::Duration;

use osapi_client::{Command, Error, ErrorKind, Job, JobId, JobOutcome, Retry, Sendable};
use osapi_core::id::Nonce;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::confirm;
use super::interrupt::{Interrupt, Interrupts};
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::render::{Screen, Side};

/// How long an interrupted waiting asks which job it was for.
const FOUND_WITHIN: Duration = Duration::from_secs(5);

/// Something that makes a job. Under one key it makes one job, however often it is sent.
pub(crate) trait Request: Clone {
    /// The same under this idempotency key.
    fn under(self, key: String) -> Self;
    /// Makes the job and waits for its outcome.
    async fn send(self) -> Result<JobOutcome, Error>;
    /// Makes the job, or finds the one that was made under the key.
    async fn submit(self) -> Result<Job, Error>;
}

impl<O: Sendable + Clone> Request for Command<O> {
    fn under(self, key: String) -> Self {
        self.idempotency_key(key)
    }
    async fn send(self) -> Result<JobOutcome, Error> {
        Self::send(self).await
    }
    async fn submit(self) -> Result<Job, Error> {
        Self::submit(self).await
    }
}

impl Request for Retry {
    fn under(self, key: String) -> Self {
        self.idempotency_key(key)
    }
    async fn send(self) -> Result<JobOutcome, Error> {
        Self::send(self).await
    }
    async fn submit(self) -> Result<Job, Error> {
        Self::submit(self).await
    }
}

/// How the waiting ended.
pub(crate) enum Attended {
    /// The outcome is there.
    Settled(JobOutcome),
    /// It was left, and what is left was told.
    Left(Exit),
}

/// Makes a job and waits for its outcome: one request, if it comes soon.
///
/// Which job it is may not be known yet when an interrupt comes. The same request under the same key says so: it finds the job that the
/// first one has made. If that one is still on its way, it makes it, as the first one was to do.
///
/// # Errors
/// When it cannot be made, its outcome cannot be learned, or it cannot be cancelled.
pub(crate) async fn attend<R: Request>(
    request: R,
    interrupts: &mut Interrupts,
    screen: &mut Screen,
) -> Result<Attended> {
    let request = request.under(Nonce::random().to_string());
    let mut outcome = pin!(request.clone().send());
    let interrupt = match interrupts.race(&mut outcome).await {
        Ok(outcome) => return Ok(Attended::Settled(outcome?)),
        Err(interrupt) => interrupt,
    };
    let Some(job) = find(request, interrupts).await else {
        return Ok(Attended::Left(leave(None, interrupt, screen)?));
    };
    match choose(job.id(), interrupt, interrupts, screen).await? {
        Choice::Detach => Ok(Attended::Left(leave(Some(job.id()), interrupt, screen)?)),
        Choice::Cancel => match interrupts.race(cancelled(&job, outcome)).await {
            Ok(outcome) => Ok(Attended::Settled(outcome?)),
            Err(interrupt) => Ok(Attended::Left(leave(Some(job.id()), interrupt, screen)?)),
        },
    }
}

/// Says what is left behind, if that is known, and tells the exit code for it.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn leave(job: Option<JobId>, interrupt: Interrupt, screen: &mut Screen) -> Result<Exit> {
    let text = match job {
        Some(job) => format!(
            "interrupted; job {job} goes on: 'osapi job get {job}' shows it, 'osapi job cancel {job}' ends it"
        ),
        None => "interrupted; a command that was sent goes on: 'osapi job list' shows it".into(),
    };
    screen.line(Side::Err, &text)?;
    Ok(interrupt.exit())
}

/// The job that `request` has made. That it is not known is all that can be said if it cannot be asked for, or in a hurry.
async fn find<R: Request>(request: R, interrupts: &mut Interrupts) -> Option<Job> {
    interrupts.race(timeout(FOUND_WITHIN, request.submit())).await.ok()?.ok()?.ok()
}

/// Cancels `job`, and waits how it ends.
async fn cancelled(
    job: &Job,
    outcome: impl Future<Output = Result<JobOutcome, Error>>,
) -> Result<JobOutcome> {
    match job.cancel().await {
        // It has ended meanwhile: that is its outcome.
        Err(error) if error.kind() != ErrorKind::Conflict => Err(error.into()),
        _ => Ok(outcome.await?),
    }
}

/// What becomes of a job whose waiting was interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    /// It goes on.
    Detach,
    /// It ends.
    Cancel,
}

impl Choice {
    /// The answer that was typed, if it is one. The end of the input, and no word at all, change nothing about the job.
    fn typed(line: &str) -> Option<Self> {
        match line.trim().to_ascii_lowercase().as_str() {
            "" | "d" | "detach" => Some(Self::Detach),
            "c" | "cancel" => Some(Self::Cancel),
            _ => None,
        }
    }
}

/// Asks whoever typed Ctrl-C what is meant. Nobody else can be asked, and another Ctrl-C is an answer too.
async fn choose(
    job: JobId,
    interrupt: Interrupt,
    interrupts: &mut Interrupts,
    screen: &mut Screen,
) -> Result<Choice> {
    if !interrupt.is_ctrl_c() || !confirm::somebody_is_there() {
        return Ok(Choice::Detach);
    }
    // The terminal has written ^C where the cursor was.
    let question = format!("\nDetach from job {job}, which then goes on, or cancel it? [D/c] ");
    loop {
        screen.block(Side::Err, &question)?;
        let Ok(line) = interrupts.race(line()).await else {
            screen.block(Side::Err, "\n")?;
            return Ok(Choice::Detach);
        };
        if let Some(choice) = Choice::typed(&line?) {
            return Ok(choice);
        }
    }
}

/// The next line of standard input.
async fn line() -> Result<String> {
    let (tell, told) = oneshot::channel();
    // A thread of its own: the end of the runtime would wait for one of its own, and nothing ends a read from a terminal.
    thread::spawn(move || {
        let mut line = String::new();
        let read = io::stdin().read_line(&mut line).map(|_| line);
        // Who asked may have left.
        drop(tell.send(read));
    });
    let line = told.await.map_err(|error| CliError::because("cannot read the answer", &error))?;
    line.map_err(|error| CliError::because("cannot read the answer", &error))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use osapi_client::{Client, JobStatus, types};
    use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers every request on one connection with `answer`, and counts them.
    async fn serve(listener: TcpListener, answer: String, requests: &Cell<u32>) {
        let (connection, _) = listener.accept().await.unwrap();
        let mut connection = BufReader::new(connection);
        loop {
            let (mut line, mut size) = (String::new(), 0);
            while connection.read_line(&mut line).await.unwrap() > 2 {
                let field = line.to_ascii_lowercase();
                if let Some(value) = field.strip_prefix("content-length:") {
                    size = value.trim().parse().unwrap();
                }
                line.clear();
            }
            connection.read_exact(&mut vec![0; size]).await.unwrap();
            requests.set(requests.get() + 1);
            connection.write_all(answer.as_bytes()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn what_ends_soon_is_one_request() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let job_id = "01a0c4c0-9c00-7000-8000-000000000001".parse().unwrap();
        let results = types::JobResults { job_id, status: JobStatus::Completed, results: vec![] };
        let body = serde_json::to_string(&results).unwrap();
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let client = Client::builder(url).token("v4.public.x").build().unwrap();
        let (mut screen, mut interrupts) = (Screen::standard(false), Interrupts::elsewhere());
        let requests = Cell::new(0);
        let attended = tokio::select! {
            attended = attend(client.node("_any").exec("true"), &mut interrupts, &mut screen) => attended,
            () = serve(listener, answer, &requests) => unreachable!("it serves for ever"),
        };
        assert!(matches!(attended.unwrap(), Attended::Settled(outcome) if outcome.success()));
        assert_eq!(requests.get(), 1);
    }

    #[test]
    fn only_a_clear_answer_is_taken_and_none_leaves_the_job_alone() {
        for (line, choice) in [
            ("c\n", Some(Choice::Cancel)),
            (" Cancel \n", Some(Choice::Cancel)),
            ("d\n", Some(Choice::Detach)),
            ("DETACH", Some(Choice::Detach)),
            ("\n", Some(Choice::Detach)),
            ("", Some(Choice::Detach)),
            ("y\n", None),
            ("cd\n", None),
        ] {
            assert_eq!(Choice::typed(line), choice, "{line:?}");
        }
    }
}
