//! Talking with the person (or program) that called: output, tables, passwords, progress.

use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Failure;
use crate::password::MAX_PASSWORD_BYTES;
use crate::secret::Secret;

/// Writes to standard output. A reader that has gone away (`doorward user list | head -1`) has all it wanted.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::run("cannot write to standard output", error, "see the cause"))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A text that others chose, such as a name in a table: what would steer a terminal is shown instead of done.
pub fn shown(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character.is_control() {
            true => safe.extend(character.escape_unicode()),
            false => safe.push(character),
        }
    }
    safe
}

/// Rows under a head, in columns as wide as they must be.
pub fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let rows = std::iter::once(head.map(str::to_owned)).chain(rows.iter().cloned());
    let rows: Vec<[String; N]> = rows.map(|row| row.map(|cell| shown(&cell))).collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count()) + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// JSON for people and programs alike, with a line end.
pub fn json<T: serde::Serialize>(value: &T) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value);
    let text = text.map_err(|error| Failure::run("the answer cannot be written as JSON", error, "see the cause"))?;
    // Control characters beyond ASCII are allowed in JSON, and would steer a terminal; escaped they mean the same.
    let escape = |character: char| match character.is_control() && character != '\n' {
        true => format!("\\u{:04x}", u32::from(character)),
        false => character.to_string(),
    };
    Ok(text
        .chars()
        .map(escape)
        .chain(std::iter::once("\n".to_owned()))
        .collect())
}

/// Asks yes or no on the terminal; anything but yes is no.
pub fn confirm(question: &str) -> Result<bool, Failure> {
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()))
}

/// Whether a person sits there to be asked.
pub fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// A new password: asked for twice, unseen, on a terminal; with `from_stdin` all of standard input, less one
/// line end.
pub fn new_password(from_stdin: bool) -> Result<Secret<String>, Failure> {
    if from_stdin {
        return password_from_stdin();
    }
    if !is_interactive() {
        return Err(Failure::usage(
            "there is no terminal to ask for the password on",
            "give it on standard input: … --password-stdin < file",
        ));
    }
    let ask = |prompt: &str| {
        let typed = rpassword::prompt_password(prompt).map(Secret::new);
        typed.map_err(|error| Failure::run("the password cannot be read", error, "use standard input instead"))
    };
    let password = ask("Password: ")?;
    if password != ask("Password again: ")? {
        return Err(Failure::run(
            "the passwords differ",
            "they were not the same both times",
            "try again",
        ));
    }
    not_empty(password)
}

/// The password on standard input: all of it, less one line end.
pub fn password_from_stdin() -> Result<Secret<String>, Failure> {
    // Two more for the line end, one more to notice what is too long.
    let most = u64::try_from(MAX_PASSWORD_BYTES).unwrap_or(u64::MAX).saturating_add(3);
    let mut text = String::new();
    let read = io::stdin().lock().take(most).read_to_string(&mut text);
    let mut password = Secret::new(text);
    read.map_err(|error| {
        Failure::run(
            "the password cannot be read",
            error,
            "give it in UTF-8 on standard input",
        )
    })?;
    let bare = password.expose().strip_suffix('\n');
    if let Some(bare) = bare.map(|line| line.strip_suffix('\r').unwrap_or(line)) {
        password = Secret::new(bare.to_owned());
    }
    not_empty(password)
}

fn not_empty(password: Secret<String>) -> Result<Secret<String>, Failure> {
    match password.expose().is_empty() {
        true => Err(Failure::usage(
            "the password is empty",
            "give one on standard input or type one",
        )),
        false => Ok(password),
    }
}

/// Says on standard error what is being done: on a terminal one line that lives, else a line for each step.
pub struct Progress {
    step: Arc<Mutex<String>>,
    painter: Option<(Sender<()>, JoinHandle<()>)>,
}

/// What takes less shows nothing.
const PATIENCE: Duration = Duration::from_millis(300);

impl Progress {
    /// Begins, with a first step.
    pub fn start(first: &str) -> Self {
        let step = Arc::new(Mutex::new(first.to_owned()));
        let (stop, stopped) = mpsc::channel::<()>();
        let painted = Arc::clone(&step);
        let paint = move || {
            let begun = Instant::now();
            let mut visible = false;
            while stopped.recv_timeout(Duration::from_millis(100)) == Err(RecvTimeoutError::Timeout) {
                if begun.elapsed() >= PATIENCE {
                    let step = painted.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    eprint!("\r\x1b[K… {} ({:.1} s)", shown(&step), begun.elapsed().as_secs_f32());
                    visible = true;
                }
            }
            if visible {
                eprint!("\r\x1b[K");
            }
        };
        let painter = io::stderr()
            .is_terminal()
            .then(|| std::thread::Builder::new().spawn(paint).ok())
            .flatten();
        Self {
            step,
            painter: painter.map(|thread| (stop, thread)),
        }
    }

    /// Whether it is one line that lives: else each step is a line for good.
    pub fn is_live(&self) -> bool {
        self.painter.is_some()
    }

    /// The next step.
    pub fn step(&self, what: &str) {
        if self.painter.is_none() {
            eprintln!("{}", shown(what));
        }
        what.clone_into(&mut self.step.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.painter.take() {
            drop(stop);
            // It cannot panic; and if it did, nothing would be lost but its line.
            thread.join().ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_do_not_steer_the_terminal() {
        let text = table(
            ["ID", "NAME"],
            &[["1".into(), "a\x1b[2Jb".into()], ["100".into(), "é".into()]],
        );
        assert_eq!(text, "ID   NAME\n1    a\\u{1b}[2Jb\n100  é\n");
    }
}
