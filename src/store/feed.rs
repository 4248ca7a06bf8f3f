//! From rows of the change feed to changes: the part that both stores share.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::migration::unhex16;
use super::{Ban, Change, User};
use crate::principal::{SessionId, UserId};

/// More users than this in one reading are not named: reading all is cheaper, and bounded.
const MANY: usize = 1000;

/// A row of the feed, less what only its store knows.
pub(super) enum Told {
    Session(SessionId, i64),
    User(UserId, i64),
    Users(i64),
    Keys,
    ApiKey(String),
    Banned(Ban, i64, i64),
}

impl Told {
    /// Reads a row. A kind that a newer release writes is passed over, it does not concern this one; nor does a session
    /// with a name that none can have. One unreadable row must not keep the rest from being told.
    pub(super) fn new(kind: &str, subject: &str, at: i64, until: i64) -> Option<Self> {
        match kind {
            "session" => unhex16(subject).map(|id| Self::Session(SessionId(id), until)),
            "user" => Some(
                subject
                    .parse()
                    .map_or(Self::Users(until), |id| Self::User(UserId(id), until)),
            ),
            "users" => Some(Self::Users(until)),
            "keys" => Some(Self::Keys),
            "api_key" => Some(Self::ApiKey(subject.to_owned())),
            // One of our own, by its name alone, as plain SQL would write it.
            "token" => Some(Self::Banned(Ban::of_ours(subject), at, until)),
            "external_subject" | "external_token" => Ban::read(kind, subject).map(|ban| Self::Banned(ban, at, until)),
            _ => None,
        }
    }
}

/// One reading of the feed, each subject once.
#[derive(Default)]
pub(super) struct Gathered {
    sessions: HashMap<SessionId, i64>,
    users: BTreeMap<UserId, i64>,
    all_users: Option<i64>,
    keys: bool,
    api_keys: BTreeSet<String>,
    bans: BTreeMap<Ban, (i64, i64)>,
}

/// Puts together what was told, each subject with its latest `until`.
pub(super) fn gather(told: Vec<Told>) -> Gathered {
    let mut gathered = Gathered::default();
    for told in told {
        match told {
            Told::Session(session, until) => {
                let latest = gathered.sessions.entry(session).or_insert(until);
                *latest = until.max(*latest);
            }
            Told::User(user, until) => {
                let latest = gathered.users.entry(user).or_insert(until);
                *latest = until.max(*latest);
            }
            Told::Users(until) => gathered.all_users = gathered.all_users.max(Some(until)),
            Told::Keys => gathered.keys = true,
            Told::ApiKey(id) => {
                gathered.api_keys.insert(id);
            }
            Told::Banned(ban, at, until) => {
                let latest = gathered.bans.entry(ban).or_insert((at, until));
                *latest = (at.max(latest.0), until.max(latest.1));
            }
        }
    }
    if gathered.users.len() > MANY {
        let latest = gathered.users.values().copied().max();
        gathered.all_users = gathered.all_users.max(latest);
        gathered.users.clear();
    }
    gathered
}

impl Gathered {
    /// The users whose state is wanted.
    pub(super) fn user_ids(&self) -> Vec<i64> {
        self.users.keys().map(|user| user.0).collect()
    }

    /// The changes; a user without a state is gone.
    pub(super) fn with_states(self, states: Vec<User>) -> Vec<Change> {
        let mut states: HashMap<UserId, User> = states.into_iter().map(|state| (state.id, state)).collect();
        let sessions = self
            .sessions
            .into_iter()
            .map(|(session, until)| Change::SessionEnded { session, until });
        let all_users = self.all_users.map(|until| Change::AllUsers { until });
        let users = self.users.into_iter().map(|(user, until)| {
            let state = states.remove(&user).map(Box::new);
            Change::User { user, state, until }
        });
        let keys = self.keys.then_some(Change::Keys);
        let api_keys = self.api_keys.into_iter().map(|id| Change::ApiKey { id });
        let bans = self.bans.into_iter();
        let bans = bans.map(|(ban, (at, until))| Change::Banned { ban, at, until });
        let rest = api_keys.chain(bans);
        sessions.chain(all_users).chain(users).chain(keys).chain(rest).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_told_once_with_its_latest_end() {
        let session = "000102030405060708090a0b0c0d0e0f";
        let told = [
            ("user", "7", 5),
            ("session", session, 9),
            ("user", "7", 3),
            ("session", session, 10),
            ("x", "", 1),
        ]
        .into_iter()
        .filter_map(|(kind, subject, until)| Told::new(kind, subject, 0, until));
        let changes = gather(told.collect()).with_states(Vec::new());
        let session = SessionId([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
        assert_eq!(
            changes,
            [
                Change::SessionEnded { session, until: 10 },
                Change::User {
                    user: UserId(7),
                    state: None,
                    until: 5
                },
            ]
        );
    }

    #[test]
    fn a_ban_is_told_with_its_latest_time_and_reads_what_it_writes() {
        let ban = Ban {
            issuer: "https://idp.example \"x\"".to_owned(),
            banned: crate::store::Banned::Subject("a\nb".to_owned()),
        };
        let told = [(5, 9), (7, 8)]
            .into_iter()
            .filter_map(|(at, until)| Told::new(ban.kind(), &ban.subject(), at, until));
        let changes = gather(told.collect()).with_states(Vec::new());
        assert_eq!(changes, [Change::Banned { ban, at: 7, until: 9 }]);
        assert!(Told::new("external_token", "[\"one\"]", 0, 1).is_none());
    }

    #[test]
    fn very_many_users_become_all_users() {
        let told = (0..1001).map(|id| Told::User(UserId(id), id)).collect();
        assert_eq!(gather(told).with_states(Vec::new()), [Change::AllUsers { until: 1000 }]);
    }

    #[test]
    fn an_unreadable_row_keeps_nothing_from_being_told() {
        let told = [
            ("user", "seven"),
            ("session", "ff"),
            ("session", "+f000000000000000000000000000000"),
        ];
        let told = told
            .into_iter()
            .filter_map(|(kind, subject)| Told::new(kind, subject, 0, 1));
        assert_eq!(
            gather(told.collect()).with_states(Vec::new()),
            [Change::AllUsers { until: 1 }]
        );
    }
}
