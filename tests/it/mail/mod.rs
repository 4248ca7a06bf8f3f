//! Mail, against a real server: registration with a confirmed address, new passwords, and what goes wrong on the way.

mod failures;
mod flows;
mod pages;
mod wire;

use serde_json::{Value, json};

use crate::accounts::world::{Gateway, PASSWORD, World};
use crate::support::client::Response;
use crate::support::smtp::Smtp;

pub const VERIFY: &str = "[accounts]\nregistration = 'verify_email'\n";

/// A gateway that confirms addresses over this server.
pub fn gateway(world: &World<'_>, smtp: &Smtp) -> Gateway {
    world.gateway(&format!("{VERIFY}{}", smtp.config("smtp", "")))
}

pub fn register(gateway: &Gateway, name: &str, email: &str) -> Response {
    let body = json!({ "username": name, "password": PASSWORD, "email": email });
    gateway.client.post_json("/api/registration", &body)
}

pub fn ask_reset(gateway: &Gateway, email: &str) -> Response {
    gateway.client.post_json("/api/reset", &json!({ "email": email }))
}

pub fn finalize(gateway: &Gateway, code: &str) -> Response {
    gateway.get_as("/api/finalize", code)
}

pub fn set_password(gateway: &Gateway, code: &str, password: &str) -> Response {
    let body = json!({ "token": code, "password": password });
    gateway.client.post_json("/api/reset_finalize", &body)
}

/// An account that was confirmed; so many mails were taken before.
pub fn confirmed(gateway: &Gateway, smtp: &Smtp, name: &str, email: &str) -> Value {
    let before = smtp.count();
    register(gateway, name, email).expect(201);
    finalize(gateway, &smtp.mail(before).code()).expect(200).json()
}
