//! A child program whose output is read as it comes.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use super::PATIENCE;

/// A running program; killed, and waited for, when dropped.
pub struct Process {
    name: String,
    child: Child,
    lines: Arc<Lines>,
    /// They end with the program's outputs.
    readers: Vec<JoinHandle<()>>,
}

/// What the program has said so far, standard output and standard error together.
#[derive(Default)]
struct Lines {
    said: Mutex<Vec<String>>,
    more: Condvar,
    /// Who holds it keeps the readers from reading.
    reading: Mutex<()>,
}

impl Process {
    pub fn spawn(name: &str, mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let lines = Arc::new(Lines::default());
        let readers = vec![
            follow(child.stdout.take().unwrap(), &lines),
            follow(child.stderr.take().unwrap(), &lines),
        ];
        Self {
            name: name.to_owned(),
            child,
            lines,
            readers,
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything said so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many lines were said so far: a mark for [`Process::wait_for_line_after`].
    pub fn mark(&self) -> usize {
        self.lines.said.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The first line that passes, said already or yet to come.
    pub fn wait_for_line(&self, wanted: impl Fn(&str) -> bool) -> String {
        self.wait_for_line_after(0, wanted)
    }

    /// The first line after the mark that passes.
    pub fn wait_for_line_after(&self, mark: usize, wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut said = self.lines.said.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(line) = said.iter().skip(mark).find(|line| wanted(line)) {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{} never said it; it said {said:#?}", self.name);
            said = self
                .lines
                .more
                .wait_timeout(said, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Nobody reads what it says while this is held: soon its outputs are full.
    pub fn unread(&self) -> MutexGuard<'_, ()> {
        self.lines.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap_or_else(|error| panic!("signal to {}: {error}", self.name));
    }

    /// How it ended, if it has; then everything it said is there.
    pub fn has_exited(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().unwrap()?;
        for reader in self.readers.drain(..) {
            reader.join().expect("a reader only reads");
        }
        Some(status)
    }

    /// How it ended; fails when it does not.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.has_exited() {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "{} does not end; it said {:#?}",
                self.name,
                self.lines()
            );
            thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- what {} said:\n{}\n---", self.name, self.lines().join("\n"));
        }
    }
}

fn follow(output: impl Read + Send + 'static, lines: &Arc<Lines>) -> JoinHandle<()> {
    let lines = Arc::clone(lines);
    thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            drop(lines.reading.lock().unwrap_or_else(PoisonError::into_inner));
            lines
                .said
                .lock()
                .unwrap()
                .push(String::from_utf8_lossy(&line).into_owned());
            lines.more.notify_all();
        }
    })
}
