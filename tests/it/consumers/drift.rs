//! What is written twice says the same: the annotations of `examples/ingress-nginx`, which no program here can run, as
//! `examples/nginx`, and the labels of `examples/traefik/compose.yaml` as its `dynamic.yml`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use serde_json::Value;

use super::shared::{clean, example_files};
use super::yaml::documents;
use crate::support::nginx::Nginx;
use crate::support::raw::RawClient;

fn file(name: &str) -> String {
    example_files(name).remove(0).1
}

/// The document of this kind and name.
fn manifest<'a>(documents: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let is_it = |document: &&Value| document["kind"] == kind && document["metadata"]["name"] == name;
    documents
        .iter()
        .find(is_it)
        .unwrap_or_else(|| panic!("no {kind} {name}"))
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn list(text: &str) -> BTreeSet<&str> {
    text.split(',').map(str::trim).collect()
}

/// What a directive says, wherever it stands.
fn directives<'a>(configuration: &'a str, name: &str) -> Vec<&'a str> {
    let said = |line: &'a str| line.trim().strip_prefix(name)?.strip_prefix(' ')?.strip_suffix(';');
    configuration.lines().filter_map(said).collect()
}

#[test]
fn the_annotations_say_what_nginx_is_told() {
    let nginx = file("nginx/nginx.conf");
    let ingress = documents(&file("ingress-nginx/ingress.yaml"));
    let app = manifest(&ingress, "Ingress", "app");
    let said = |name: &str| {
        let annotations = &app["metadata"]["annotations"];
        annotations[format!("nginx.ingress.kubernetes.io/{name}")]
            .as_str()
            .unwrap_or_else(|| panic!("{name}"))
    };

    let question = directives(&nginx, "auth_request");
    // One for everything, and one for preflights.
    assert_eq!(question, ["/auth/nginx", "/auth/nginx"]);
    assert!(
        said("auth-url").ends_with(&format!(":8000{}", question[0])),
        "{}",
        said("auth-url")
    );
    let identity: BTreeSet<&str> = directives(&nginx, "proxy_set_header")
        .into_iter()
        .filter_map(|said| said.split_once(" $user").map(|(name, _)| name))
        .collect();
    assert_eq!(list(said("auth-response-headers")), identity);
    assert_eq!(said("proxy-body-size"), directives(&nginx, "client_max_body_size")[0]);
    assert_eq!(
        said("proxy-request-buffering"),
        directives(&nginx, "proxy_request_buffering")[0]
    );
    assert_eq!(said("proxy-buffering"), directives(&nginx, "proxy_buffering")[0]);
    assert_eq!(
        (said("proxy-read-timeout"), directives(&nginx, "proxy_read_timeout")[0]),
        ("3600", "1h")
    );
    assert!(nginx.contains("add_header Set-Cookie $renewed always;") && said("auth-always-set-cookie") == "true");

    let own = manifest(&ingress, "Ingress", "doorward");
    let paths = own["spec"]["rules"][0]["http"]["paths"].as_array().unwrap();
    let paths: Vec<&str> = paths
        .iter()
        .map(|path| path["path"].as_str().unwrap().trim_start_matches('/'))
        .collect();
    let in_nginx = format!("location ~ ^/(?:{})/ {{", paths.join("|").replace('.', "\\."));
    assert!(nginx.contains(&in_nginx), "{in_nginx}");
    assert!(
        keys(&own["metadata"]["annotations"])
            .iter()
            .all(|name| !name.contains("/auth-"))
    );

    // Of an OPTIONS that asks for an upgrade or has a body, each is told; the controller has no `@preflight` for it.
    let asked = manifest(&ingress, "ConfigMap", "only-in-questions");
    assert_eq!(said("auth-proxy-set-headers"), "default/only-in-questions");
    assert_eq!(
        asked["data"]["Access-Control-Request-Method"],
        directives(&nginx, "proxy_set_header Access-Control-Request-Method")[0]
    );
    let snippet = manifest(&ingress, "ConfigMap", "ingress-nginx-controller")["data"]["http-snippet"].clone();
    let (same, _) = snippet.as_str().unwrap().split_once(TWO_HOSTS).unwrap();
    for line in same.lines() {
        assert!(nginx.contains(line.trim()), "{line}");
    }

    // What clients may not say, but for what the controller writes anew by itself and what it always removes.
    let removed: BTreeSet<String> = directives(&file("nginx/headers.conf"), "proxy_set_header")
        .into_iter()
        .filter_map(|said| said.strip_suffix(" \"\"").map(str::to_owned))
        .filter(|name| name != "X-Scheme" && name != "Proxy")
        .collect();
    let list = manifest(&ingress, "ConfigMap", "only-the-controller");
    assert_eq!(keys(&list["data"]), removed.iter().map(String::as_str).collect());
    let controller = manifest(&ingress, "ConfigMap", "ingress-nginx-controller");
    assert_eq!(
        controller["data"]["proxy-set-headers"],
        "ingress-nginx/only-the-controller"
    );
}

/// Where the part of the controller's snippet begins that `examples/nginx` has no need of.
const TWO_HOSTS: &str = "# The controller goes by the host of the request line";

#[test]
fn the_controller_refuses_a_request_that_names_two_hosts() {
    let ingress = documents(&file("ingress-nginx/ingress.yaml"));
    let data = &manifest(&ingress, "ConfigMap", "ingress-nginx-controller")["data"];
    let http = data["http-snippet"].as_str().unwrap();
    let server = format!(
        "{}\nlocation / {{ return 200 served; }}",
        data["server-snippet"].as_str().unwrap()
    );
    let nginx = Nginx::serving_beside(http, &server);
    let ask = |target: &str, host: &str| {
        let head = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        RawClient::connect(nginx.address()).send(head).response().status
    };
    for (target, host) in [
        ("/admin", "app.example.com"),
        ("/admin", "App.Example.Com.:8443"),
        ("/admin", "[::1]:8443"),
        ("https://app.example.com/admin", "app.example.com:8443"),
        ("https://APP.example.com:8443/admin", "app.example.com"),
    ] {
        assert_eq!(ask(target, host), 200, "{target} {host}");
    }
    for (target, host) in [
        ("https://app.example.com/admin", "open.example.com"),
        ("https://app.example.com/admin", "app.example.com.example.com"),
        ("https://app.example.com/admin", "xapp.example.com"),
        ("https://app.example.com/admin", "app.example.com:8443x"),
        ("http://app.example.com/admin", "localhost"),
    ] {
        assert_eq!(ask(target, host), 400, "{target} {host}");
    }
}

/// What Traefik makes of labels: the same tree as its files, with names in lower case.
fn tree(labels: &BTreeMap<String, String>) -> Value {
    let mut root = Value::Object(serde_json::Map::new());
    for (label, value) in labels {
        let Some(path) = label.strip_prefix("traefik.") else {
            continue;
        };
        let mut place = &mut root;
        for step in path.split('.') {
            place = &mut place[step.to_lowercase()];
        }
        *place = Value::String(value.clone());
    }
    root
}

/// A tree of the file, as labels would say it: lists in one text, names in lower case.
fn as_labels(value: &Value) -> Value {
    match value {
        Value::Object(entries) => entries
            .iter()
            .map(|(name, value)| (name.to_lowercase(), as_labels(value)))
            .collect(),
        Value::Array(items) => {
            let items: Vec<&str> = items.iter().map(|item| item.as_str().unwrap()).collect();
            Value::String(items.join(","))
        }
        other => other.clone(),
    }
}

#[test]
fn the_labels_say_what_the_file_says() {
    let compose = documents(&file("traefik/compose.yaml")).remove(0);
    let mut labels = BTreeMap::new();
    for service in ["doorward", "app"] {
        for (name, value) in compose["services"][service]["labels"].as_object().unwrap() {
            labels.insert(name.clone(), value.as_str().unwrap().replace("$$", "$"));
        }
    }
    let labels = tree(&labels)["http"].take();
    let mut dynamic = documents(&file("traefik/dynamic.yml")).remove(0)["http"].take();

    // Labels have no way to write a dot in a header's name; the README says so.
    let headers = &mut dynamic["middlewares"]["only-traefik"]["headers"]["customRequestHeaders"];
    headers.as_object_mut().unwrap().retain(|name, _| !name.contains('.'));
    // Where Doorward is has another name between containers.
    for middleware in ["doorward", "doorward-with-body"] {
        let address = &mut dynamic["middlewares"][middleware]["forwardAuth"]["address"];
        *address = Value::String(address.as_str().unwrap().replace("127.0.0.1", "doorward"));
    }
    for router in ["app", "options", "doorward"] {
        let tls = &mut dynamic["routers"][router]["tls"];
        assert_eq!(tls.take(), serde_json::json!({}), "{router}");
        *tls = Value::String("true".to_owned());
    }
    assert_eq!(labels["routers"], as_labels(&dynamic["routers"]));
    assert_eq!(labels["middlewares"], as_labels(&dynamic["middlewares"]));
    assert_eq!(keys(&labels["services"]), keys(&dynamic["services"]));

    // And the command line what the static file says.
    let entry_points = &documents(&file("traefik/traefik.yml"))[0]["entryPoints"]["websecure"];
    let command = &compose["services"]["traefik"]["command"];
    let told = |name: &str, value: &str| {
        let wanted = Value::String(format!("--entryPoints.websecure.{name}={value}"));
        assert!(command.as_array().unwrap().contains(&wanted), "{wanted}");
    };
    told(
        "http.underscoreHeadersStrategy",
        entry_points["http"]["underscoreHeadersStrategy"].as_str().unwrap(),
    );
    let timeouts = &entry_points["transport"]["respondingTimeouts"];
    told(
        "transport.respondingTimeouts.readTimeout",
        timeouts["readTimeout"].as_str().unwrap(),
    );
}

/// The configurations of Doorward within manifests are good, and have the rules of those that stand alone.
#[test]
fn doorwards_configuration_is_the_same_everywhere() {
    let alone: toml::Table = file("nginx/doorward.toml").parse().unwrap();
    let manifests = documents(&file("ingress-nginx/doorward.yaml"));
    let compose = documents(&file("traefik/compose.yaml")).remove(0);
    let mut others = vec![
        manifest(&manifests, "ConfigMap", "doorward")["data"]["doorward.toml"]
            .as_str()
            .unwrap()
            .to_owned(),
        compose["configs"]["doorward"]["content"].as_str().unwrap().to_owned(),
    ];
    let folders = [
        "traefik",
        "caddy",
        "envoy",
        "haproxy/in-front",
        "haproxy/lua",
        "haproxy/pass-through",
    ];
    others.extend(folders.map(|folder| file(&format!("{folder}/doorward.toml"))));
    let folder = tempfile::tempdir().unwrap();
    for text in others {
        let other: toml::Table = text.parse().unwrap();
        assert_eq!(other["routes"], alone["routes"]);
        let path = folder.path().join("doorward.toml");
        fs::write(&path, &text).unwrap();
        if text.contains("server.crt") {
            continue;
        }
        let mut check = Command::new(env!("CARGO_BIN_EXE_doorward"));
        check.args(["check", "--config"]).arg(&path).current_dir(folder.path());
        let checked = clean(&mut check).output().unwrap();
        let said = String::from_utf8_lossy(&checked.stdout).into_owned() + &String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success(), "{said}");
    }
}
