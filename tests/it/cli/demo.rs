//! `doorward demo`: what a newcomer sees.

use std::process::Command;

use rustix::process::Signal;

use super::Place;
use crate::support::message::text;
use crate::support::process::Process;

const ANY_PORT: [&str; 7] = ["demo", "--https-port", "0", "--http-port", "0", "--admin-port", "0"];

struct Demo {
    process: Process,
}

impl Demo {
    fn start(place: &Place) -> Self {
        let process = Process::spawn("doorward demo", place.command(&ANY_PORT));
        let last = |line: &str| line.starts_with("# the token is dead now");
        process.wait_for_line(last);
        let mark = process.lines().iter().position(|line| last(line)).unwrap();
        process.wait_for_line_after(mark, |line| line.ends_with("/app/hello"));
        Self { process }
    }

    /// What stands after this word at the beginning of a line.
    fn told(&self, name: &str) -> String {
        let line = self
            .process
            .wait_for_line(|line| line.trim_start().starts_with(&format!("{name} ")));
        line.trim_start().trim_start_matches(name).trim().to_owned()
    }

    fn password(&self, name: &str) -> String {
        let told = self.told(name);
        told.split(' ').nth(1).unwrap().to_owned()
    }

    fn stop(mut self) {
        self.process.signal(Signal::INT);
        assert_eq!(self.process.wait().code(), Some(0));
    }
}

#[test]
fn its_lines_work_when_they_are_pasted() {
    let place = Place::new();
    let demo = Demo::start(&place);
    let lines = demo.process.lines();
    let script: Vec<&str> = lines
        .iter()
        .map(String::as_str)
        .skip_while(|line| !line.starts_with("# "))
        .collect();
    let mut shell = Command::new("bash");
    shell.arg("-euc").arg(script.join("\n")).current_dir(place.0.path());
    let output = shell.env("no_proxy", "*").output().unwrap();
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", text(&output.stderr));

    // What the backend received, for alice and for root: identity, and no token.
    for part in [
        r#""x-user": "alice""#,
        r#""x-user-roles": "user""#,
        r#""x-user": "root""#,
        r#""target": "/app/admin/""#,
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert!(!said.to_lowercase().contains("\"authorization\""), "{said}");
    let statuses: Vec<&str> = said.lines().filter(|line| line.parse::<u16>().is_ok()).collect();
    assert_eq!(statuses, ["403", "401", "204", "401"]);
    assert!(said.contains("\"refresh_token\":"), "{said}");
    demo.stop();
}

#[test]
fn its_passwords_are_new_at_each_start() {
    let place = Place::new();
    let first = Demo::start(&place);
    let passwords = ["alice", "root"].map(|name| first.password(name));
    assert_ne!(passwords[0], passwords[1]);
    first.stop();
    let second = Demo::start(&place);
    for (name, old) in ["alice", "root"].iter().zip(&passwords) {
        assert_ne!(&second.password(name), old);
    }
    let login = |password: &str| {
        let url = second.told("http");
        let body = format!(r#"{{"username":"alice","password":"{password}"}}"#);
        let status = [
            "-s",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "--noproxy",
            "*",
            "-d",
            &body,
        ];
        let output = Command::new("curl")
            .args(status)
            .arg(format!("{url}/api/login"))
            .output()
            .unwrap();
        text(&output.stdout)
    };
    assert_eq!(
        (login(&passwords[0]).as_str(), login(&second.password("alice")).as_str()),
        ("401", "200")
    );
    second.stop();
}

#[test]
fn a_port_that_is_taken_is_told_with_the_way_out() {
    let place = Place::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    for option in ["--https-port", "--http-port", "--admin-port"] {
        let mut arguments = ANY_PORT.to_vec();
        let place_of_it = arguments.iter().position(|argument| *argument == option).unwrap();
        arguments[place_of_it + 1] = &port;
        let said = place
            .run(&arguments)
            .failed(1, &["error: cannot listen on 127.0.0.1:", "cause: "]);
        assert!(
            said.contains(&format!(
                "hint: stop what listens there, or choose another port: doorward demo {option} 0"
            )),
            "{said}"
        );
    }
}

#[test]
fn it_works_on_its_own_store_only() {
    let place = Place::new();
    let mut command = place.command(&ANY_PORT);
    let output = command.env("DOORWARD_STORE__URL", "sqlite:real.db").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("an embedded store of its own only"));
    assert!(!place.path("real.db").exists());
}

#[test]
fn its_login_page_leads_to_the_sample_backend() {
    let place = Place::new();
    let demo = Demo::start(&place);
    let told = demo.told("login page");
    let page = told.split(' ').next().unwrap();
    let jar = place.path("cookies");
    let curl = |arguments: &[&str]| {
        let mut command = Command::new("curl");
        command
            .args(["-sS", "--insecure", "--noproxy", "*", "-b"])
            .arg(&jar)
            .arg("-c")
            .arg(&jar);
        let output = command
            .args(["-H", "Accept: text/html"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let form = curl(&[page]);
    assert!(
        form.contains("action=\"/auth/login\"") && form.contains("name=\"rd\" value=\"/app/\""),
        "{form}"
    );
    let login = page.split('?').next().unwrap();
    let password = format!("password={}", demo.password("alice"));
    let fields = [
        "--data-urlencode",
        "username=alice",
        "--data-urlencode",
        &password,
        "-d",
        "rd=/app/",
    ];
    let sent = curl(&[&["-L", "-H", "Sec-Fetch-Site: same-origin"][..], &fields, &[login]].concat());
    assert!(
        sent.contains("<h1>Sample backend</h1>") && sent.contains("<td>alice"),
        "{sent}"
    );
    demo.stop();
}
