//! `[[tokens.trusted_issuers]]`.

use super::field;
use super::tokens::{ALGORITHMS, long_enough};
use crate::config::file::{self, Roles};
use crate::config::key::KeyPath;
use crate::config::report::{Fault, Report, quoted};
use crate::fetch::Url;
use crate::token::{Algorithm, KeySource, RoleMapping, TrustedIssuer, UserMapping};

/// All of them.
pub fn trusted(
    issuers: &[file::TrustedIssuer],
    ours: Option<&str>,
    admin_role: &str,
    report: &mut Report<'_>,
) -> Option<Vec<TrustedIssuer>> {
    let key = KeyPath::of("tokens.trusted_issuers");
    for (index, issuer) in issuers.iter().enumerate() {
        let place = key.index(index).key("issuer");
        if ours == Some(&issuer.issuer) {
            report.error(Fault::at(&place, "another issuer than tokens.issuer"));
        }
        if let Some(other) = issuers
            .iter()
            .take(index)
            .position(|other| other.issuer == issuer.issuer)
        {
            let hint = format!("tokens.trusted_issuers[{other}] has the same");
            report.error(Fault::at(&place, "an issuer that is listed once").hint(hint));
        }
    }
    field::each(issuers, |index, raw| issuer(raw, &key.index(index), admin_role, report))
}

fn issuer(
    raw: &file::TrustedIssuer,
    key: &KeyPath,
    admin_role: &str,
    report: &mut Report<'_>,
) -> Option<TrustedIssuer> {
    let issuer = name(report, &key.key("issuer"), &raw.issuer);
    let algorithms = algorithms(raw, key, report);
    let keys = keys(raw, key, report);
    let audience = audience(raw, key, report);
    let user_claim = claim(report, &key.key("user_claim"), &raw.user_claim);
    let users = users(raw, key, report);
    let roles_claim = match raw.roles_claim.is_empty() {
        true => Some(None),
        false => claim(report, &key.key("roles_claim"), &raw.roles_claim).map(Some),
    };
    let roles = roles(raw, key, admin_role, report);
    Some(TrustedIssuer {
        issuer: issuer?,
        keys: keys?,
        algorithms: algorithms?,
        audience: audience?,
        user_claim: user_claim?,
        users: users?,
        roles_claim: roles_claim?,
        roles: roles?,
        leeway: raw.leeway.0,
    })
}

/// `iss` or `aud`: a name, and a URI if it has a colon (RFC 7519 section 2).
pub fn name(report: &mut Report<'_>, key: &KeyPath, text: &str) -> Option<String> {
    let bad = |character: char| character.is_control() || character.is_whitespace();
    if text.is_empty() || text.contains(bad) {
        report.error(Fault::at(
            key,
            "a name or URI without white space, such as \"https://login.example.com\"",
        ));
        return None;
    }
    Some(text.to_owned())
}

/// Several of them.
pub fn names(report: &mut Report<'_>, key: &KeyPath, texts: &[String]) -> Option<Vec<String>> {
    field::each(texts, |index, text| name(report, &key.index(index), text))
}

fn algorithms(raw: &file::TrustedIssuer, key: &KeyPath, report: &mut Report<'_>) -> Option<Vec<Algorithm>> {
    let place = key.key("algorithms");
    if raw.algorithms.is_empty() {
        report.error(Fault::at(
            &place,
            "the algorithms its tokens may use, such as [\"RS256\"]",
        ));
        return None;
    }
    let secret = !raw.secret_file.is_empty();
    field::each(&raw.algorithms, |index, name| {
        let place = place.index(index);
        let algorithm = report.choose(&place, name, &ALGORITHMS)?;
        if secret != (algorithm == Algorithm::Hs256) {
            let (accepted, hint) = match secret {
                true => ("\"HS256\"", "a secret_file is a key of HS256 only"),
                false => (
                    "\"EdDSA\", \"ES256\" or \"RS256\"",
                    "HS256 needs a secret_file: a public key is no secret",
                ),
            };
            report.error(Fault::at(&place, accepted).hint(hint));
            return None;
        }
        Some(algorithm)
    })
}

fn keys(raw: &file::TrustedIssuer, key: &KeyPath, report: &mut Report<'_>) -> Option<KeySource> {
    let sources = [
        ("jwks_url", &raw.jwks_url),
        ("jwks_file", &raw.jwks_file),
        ("key_file", &raw.key_file),
        ("secret_file", &raw.secret_file),
    ];
    let mut set = sources.into_iter().filter(|(_, text)| !text.is_empty());
    let (first, second) = (set.next(), set.next());
    if let (Some((one, _)), Some((other, _))) = (first, second) {
        let accepted = "one source of keys: jwks_url, jwks_file, key_file or secret_file";
        report.error(Fault::at(&key.key(other), accepted).hint(format!("{one} is set beside it")));
        return None;
    }
    match first {
        Some(("jwks_file", text)) => field::file(report, &key.key("jwks_file"), text).map(KeySource::JwksFile),
        Some(("key_file", text)) => field::file(report, &key.key("key_file"), text).map(KeySource::KeyFile),
        Some(("secret_file", text)) => long_enough(report, &key.key("secret_file"), text).map(KeySource::Secret),
        Some((_, text)) => url(report, &key.key("jwks_url"), text).map(KeySource::JwksUrl),
        None => {
            let accepted = "one source of keys: jwks_url, jwks_file, key_file or secret_file";
            if !sources.iter().any(|(name, _)| report.failed(&key.key(name))) {
                report.error(Fault::at(&key.key("jwks_file"), accepted));
            }
            None
        }
    }
}

fn url(report: &mut Report<'_>, key: &KeyPath, text: &str) -> Option<Url> {
    match text.parse::<Url>() {
        Ok(url) => {
            if !url.is_secure() {
                report.warn(Fault::at(
                    key,
                    "plain HTTP is for trying out: whatever else runs on this machine could give keys of its own",
                ));
            }
            Some(url)
        }
        Err(why) => {
            let accepted = "the URL of its JWK Set, such as \"https://login.example.com/jwks.json\"";
            report.error(Fault::at(key, accepted).found(quoted(text)).hint(why.to_string()));
            None
        }
    }
}

fn audience(raw: &file::TrustedIssuer, key: &KeyPath, report: &mut Report<'_>) -> Option<Vec<String>> {
    let place = key.key("audience");
    match &raw.audience {
        None => {
            report.error(
                Fault::at(&place, "the audiences its tokens are meant for, such as [\"orders\"]").hint(
                    "a token that was issued for another service would count here otherwise; [] leaves it unchecked",
                ),
            );
            None
        }
        Some(audience) if audience.is_empty() => {
            report.warn(Fault::at(
                &place,
                "tokens that the issuer made for any other service count here too",
            ));
            Some(Vec::new())
        }
        Some(audience) => names(report, &place, audience),
    }
}

/// A claim: a path with dots, or one name that is a URI and then has no path.
fn claim(report: &mut Report<'_>, key: &KeyPath, text: &str) -> Option<Vec<String>> {
    let parts: Vec<String> = match text.contains("://") {
        true => vec![text.to_owned()],
        false => text.split('.').map(str::to_owned).collect(),
    };
    if parts.iter().any(String::is_empty) {
        report.error(Fault::at(
            key,
            "the name of a claim, or a path with dots such as \"realm_access.roles\"",
        ));
        return None;
    }
    Some(parts)
}

fn users(raw: &file::TrustedIssuer, key: &KeyPath, report: &mut Report<'_>) -> Option<UserMapping> {
    let (place, prefix) = (key.key("users"), key.key("user_prefix"));
    if raw.users.is_empty() {
        report.error(
            Fault::at(&place, "\"prefixed\" or \"as_is\"").hint(
                "\"prefixed\": its users are others than the local ones; \"as_is\": its alice is the local alice",
            ),
        );
        return None;
    }
    if report.choose(&place, &raw.users, &[("prefixed", true), ("as_is", false)])? {
        let bad = |character: char| character == ',' || character.is_control() || character.is_whitespace();
        if raw.user_prefix.is_empty() || raw.user_prefix.contains(bad) {
            let accepted = "what stands before its users' names, such as \"idp:\", as users is \"prefixed\"";
            report.error(Fault::at(&prefix, accepted));
            return None;
        }
        return Some(UserMapping::Prefixed(raw.user_prefix.clone()));
    }
    if !raw.user_prefix.is_empty() {
        report.error(Fault::at(&prefix, "nothing, as users is \"as_is\""));
        return None;
    }
    Some(UserMapping::AsIs)
}

fn roles(raw: &file::TrustedIssuer, key: &KeyPath, admin_role: &str, report: &mut Report<'_>) -> Option<RoleMapping> {
    let place = key.key("roles");
    let mapping = match &raw.roles {
        Roles::Unset => RoleMapping::None,
        Roles::Word(word) => report
            .choose(&place, word, &[("as_is", ())])
            .map(|()| RoleMapping::AsIs)?,
        Roles::Table(table) => {
            let mut good = true;
            for (theirs, ours) in table {
                let place = place.key(theirs);
                good &= field::role(report, &place, ours).is_some();
                if ours == admin_role {
                    let fault = Fault::at(&place, "any role but admin.role").found(quoted(ours));
                    report.error(fault.hint("the admin role is granted by the command `doorward user roles` only"));
                    good = false;
                }
            }
            good.then(|| RoleMapping::Table(table.clone()))?
        }
    };
    match (&mapping, raw.roles_claim.is_empty()) {
        (RoleMapping::AsIs | RoleMapping::Table(_), true) => {
            let accepted = "the claim that holds the roles, such as \"realm_access.roles\", as roles is set";
            report.error(Fault::at(&key.key("roles_claim"), accepted));
            None
        }
        (RoleMapping::None, false) => {
            report.warn(Fault::at(
                &key.key("roles_claim"),
                "it has no effect: roles says nothing of what they become",
            ));
            Some(mapping)
        }
        _ => Some(mapping),
    }
}
