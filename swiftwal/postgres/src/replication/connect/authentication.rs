//! Answers what a server asks for to authenticate.

use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::{
    authentication::{
        md5_hash,
        sasl::{self, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256},
    },
    message::{
        backend::{AuthenticationSaslBody, Message},
        frontend,
    },
};

use crate::{
    printable,
    replication::{
        conninfo::{ChannelBinding, ConnectConfig, Host},
        error::ReplicationError,
    },
};

const OTHER_METHOD: &str = "use --method pg_basebackup, which supports it by libpq";

/// What authentication can be bound to.
#[derive(Debug)]
pub(super) struct Binding {
    policy: ChannelBinding,
    is_tls: bool,
    end_point: Option<Vec<u8>>,
}

impl Binding {
    /// `end_point` is the hash of the server's certificate, if it has one.
    pub(super) fn new(policy: ChannelBinding, is_tls: bool, end_point: Option<Vec<u8>>) -> Self {
        let end_point = end_point.filter(|_| policy != ChannelBinding::Disable);
        Self { policy, is_tls, end_point }
    }

    fn is_required(&self) -> bool {
        self.policy == ChannelBinding::Require
    }

    /// Returns the mechanism to use, and what binds it.
    fn mechanism(
        &self,
        offers_bound: bool,
        offers_unbound: bool,
    ) -> Result<(&'static str, sasl::ChannelBinding), ReplicationError> {
        match &self.end_point {
            Some(end_point) if offers_bound => {
                Ok((SCRAM_SHA_256_PLUS, sasl::ChannelBinding::tls_server_end_point(end_point.clone())))
            }
            _ if self.is_required() => Err(ReplicationError::authentication(self.obstacle())),
            // The flag says that this client could bind: a server that offers it then notices that an attacker removed the offer.
            Some(_) if offers_unbound => Ok((SCRAM_SHA_256, sasl::ChannelBinding::unrequested())),
            // A client that can't bind must not say that it could: a server that offers it would take that for an attack.
            None if offers_unbound => Ok((SCRAM_SHA_256, sasl::ChannelBinding::unsupported())),
            _ => Err(unsupported("none of the server's SASL authentication mechanisms are supported")),
        }
    }

    fn obstacle(&self) -> &'static str {
        match (self.is_tls, &self.end_point) {
            (false, _) => "channel binding required, but SSL not in use",
            (true, None) => {
                "channel binding required, but the signature of the server's certificate names no single hash"
            }
            (true, Some(_)) => {
                "channel binding is required, but server did not offer an authentication method that supports \
                channel binding"
            }
        }
    }
}

/// The settings of a login.
#[derive(Debug)]
pub(super) struct Login<'a> {
    pub(super) config: &'a ConnectConfig,
    pub(super) host: &'a Host,
    pub(super) binding: Binding,
    /// Whether the connection is encrypted or stays on this machine.
    pub(super) is_private: bool,
}

/// An authentication in progress.
pub(super) struct Authentication<'a> {
    login: Login<'a>,
    state: State,
}

enum State {
    /// Nothing has been proven.
    Unproven,
    /// The server must prove that it knows the password.
    Scram { scram: Box<ScramSha256>, bound: bool },
    /// Both sides have proven that they know the password; whether bound to the connection.
    Proven { bound: bool },
    /// The server has accepted.
    Accepted,
}

impl<'a> Authentication<'a> {
    pub(super) fn new(login: Login<'a>) -> Self {
        Self { login, state: State::Unproven }
    }

    pub(super) fn is_accepted(&self) -> bool {
        matches!(self.state, State::Accepted)
    }

    /// Returns the answer to a message of the server; `None` if it needs none.
    pub(super) fn answer(&mut self, message: &Message) -> Result<Option<BytesMut>, ReplicationError> {
        let mut answer = BytesMut::new();
        match message {
            Message::AuthenticationOk => return self.accept().map(|()| None),
            Message::AuthenticationCleartextPassword => {
                self.refuse_if_bound()?;
                if !self.login.is_private {
                    return Err(ReplicationError::Authentication {
                        problem:
                            "the server asks for the password in clear text over an unencrypted connection"
                                .to_owned(),
                        hint: Some(
                            "use sslmode=require, or scram-sha-256 in the server's pg_hba.conf".to_owned(),
                        ),
                    });
                }
                put_password(self.password()?.as_bytes(), &mut answer)?;
            }
            Message::AuthenticationMd5Password(body) => {
                self.refuse_if_bound()?;
                let user = self.login.config.user.as_bytes();
                let hash = md5_hash(user, self.password()?.as_bytes(), body.salt());
                put_password(hash.as_bytes(), &mut answer)?;
            }
            Message::AuthenticationSasl(body) => self.begin_scram(body, &mut answer)?,
            Message::AuthenticationSaslContinue(body) => self.continue_scram(body.data(), &mut answer)?,
            Message::AuthenticationSaslFinal(body) => {
                self.finish_scram(body.data())?;
                return Ok(None);
            }
            Message::AuthenticationGss | Message::AuthenticationSspi | Message::AuthenticationKerberosV5 => {
                return Err(unsupported(
                    "the server asks for GSS or SSPI authentication, which is not supported",
                ));
            }
            _ => {
                return Err(unsupported(
                    "the server asks for a kind of authentication that is not supported",
                ));
            }
        }
        Ok(Some(answer))
    }

    fn accept(&mut self) -> Result<(), ReplicationError> {
        if matches!(self.state, State::Scram { .. }) {
            return Err(ReplicationError::authentication(
                "the server ended the authentication without its own proof",
            ));
        }
        if self.login.binding.is_required() && !matches!(self.state, State::Proven { bound: true }) {
            return Err(ReplicationError::authentication(
                "channel binding required, but server authenticated client without channel binding",
            ));
        }
        self.state = State::Accepted;
        Ok(())
    }

    fn refuse_if_bound(&self) -> Result<(), ReplicationError> {
        match self.login.binding.is_required() {
            true => Err(ReplicationError::authentication(
                "channel binding required but not supported by server's authentication request",
            )),
            false => Ok(()),
        }
    }

    fn password(&self) -> Result<&str, ReplicationError> {
        let password = self.login.host.password.as_ref().map(|password| password.expose());
        password.ok_or_else(|| ReplicationError::Authentication {
            problem: "no password supplied".to_owned(),
            hint: Some(format!(
                "put it into ~/.pgpass, with the database \"{}\", or into PGPASSWORD",
                printable(self.login.config.passfile_database())
            )),
        })
    }

    fn begin_scram(
        &mut self,
        body: &AuthenticationSaslBody,
        answer: &mut BytesMut,
    ) -> Result<(), ReplicationError> {
        let (mut bound, mut unbound) = (false, false);
        let mut mechanisms = body.mechanisms();
        while let Some(mechanism) = mechanisms.next().map_err(failed)? {
            bound |= mechanism == SCRAM_SHA_256_PLUS;
            unbound |= mechanism == SCRAM_SHA_256;
        }
        let (mechanism, binding) = self.login.binding.mechanism(bound, unbound)?;
        let scram = ScramSha256::new(self.password()?.as_bytes(), binding);
        frontend::sasl_initial_response(mechanism, scram.message(), answer).map_err(failed)?;
        self.state = State::Scram { scram: Box::new(scram), bound: mechanism == SCRAM_SHA_256_PLUS };
        Ok(())
    }

    fn continue_scram(&mut self, data: &[u8], answer: &mut BytesMut) -> Result<(), ReplicationError> {
        let State::Scram { scram, .. } = &mut self.state else { return Err(out_of_order()) };
        scram.update(data).map_err(failed)?;
        frontend::sasl_response(scram.message(), answer).map_err(failed)
    }

    fn finish_scram(&mut self, data: &[u8]) -> Result<(), ReplicationError> {
        let State::Scram { scram, bound } = &mut self.state else { return Err(out_of_order()) };
        scram.finish(data).map_err(failed)?;
        self.state = State::Proven { bound: *bound };
        Ok(())
    }
}

fn put_password(password: &[u8], answer: &mut BytesMut) -> Result<(), ReplicationError> {
    frontend::password_message(password, answer).map_err(failed)
}

fn failed(error: std::io::Error) -> ReplicationError {
    ReplicationError::authentication(printable(&error.to_string()).to_string())
}

fn out_of_order() -> ReplicationError {
    ReplicationError::protocol("a SASL message out of order")
}

fn unsupported(problem: &str) -> ReplicationError {
    ReplicationError::Authentication { problem: problem.to_owned(), hint: Some(OTHER_METHOD.to_owned()) }
}
