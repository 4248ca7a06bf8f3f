//! Tests of mails.
