//! `sqlite`, `mysql` and `sql`: users and their sessions in a database (`endpoints.md` h.4).

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::any::{AnyRow, install_default_drivers};
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};
use tokio::time::timeout;

use super::super::chain::Context;
use super::super::error::AuthError;
use super::super::module::{Account, Case, Demand, Denial, Judgement, Module};
use super::super::settings::Settings;
use crate::address::Secret;

/// How long the database may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A table of users, in a database that is opened for each login.
struct Sql {
    /// With the database's own password in it, perhaps.
    uri: String,
    password_query: String,
    sessions_query: String,
}

impl std::fmt::Debug for Sql {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sql")
            .field("password_query", &self.password_query)
            .finish_non_exhaustive()
    }
}

/// `sqlite`: a file.
pub(crate) fn sqlite(settings: &Settings, context: &Context) -> Result<Arc<dyn Module>, AuthError> {
    let path = context.path(settings.get("filename").unwrap_or("sqlite.sdb"));
    if let Err(error) = std::fs::File::open(&path) {
        tracing::warn!("cannot read the database {}: {error}", path.display());
    }
    let escaped: String = path.as_os_str().as_encoded_bytes().iter().map(escape).collect();
    Sql::build(settings, format!("sqlite://{escaped}?mode=ro"))
}

/// `mysql` and `sql`: what the URI says.
pub(crate) fn uri(settings: &Settings, _: &Context) -> Result<Arc<dyn Module>, AuthError> {
    let uri = settings.need("uri", "as in sql:uri=postgres://USER:PASSWORD@HOST/DATABASE")?;
    let scheme = uri.split(':').next().unwrap_or_default();
    if !["mysql", "mariadb", "postgres", "postgresql", "sqlite"].contains(&scheme) {
        return Err(settings.bad(
            "uri",
            scheme,
            "write mysql://, postgres:// or sqlite:// and the database",
        ));
    }
    Sql::build(settings, uri.to_owned())
}

fn escape(byte: &u8) -> String {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => char::from(*byte).to_string(),
        byte => format!("%{byte:02X}"),
    }
}

impl Sql {
    fn build(settings: &Settings, uri: String) -> Result<Arc<dyn Module>, AuthError> {
        install_default_drivers();
        let numbered = uri.starts_with("postgres");
        let (first, second) = if numbered { ("$1", "$2") } else { ("?", "?") };
        let query = |option: &str, default: String| match settings.get(option) {
            // as xpra writes them for some drivers
            Some(query) => query.replacen("%s", first, 1).replacen("%s", second, 1),
            None => default,
        };
        let columns = "uid, gid, displays, env_options, session_options";
        Ok(Arc::new(Self {
            password_query: query(
                "password-query",
                format!("SELECT password FROM users WHERE username=({first})"),
            ),
            sessions_query: query(
                "sessions-query",
                format!("SELECT {columns} FROM users WHERE username=({first}) AND password=({second})"),
            ),
            uri,
        }))
    }

    /// Looks the user up. The second query is only made for who knows the password, so that the time taken does not
    /// tell whether there is such a user.
    async fn check(&self, case: &Case) -> Result<Judgement, sqlx::Error> {
        let user = case.username.as_str();
        let mut connection = AnyConnection::connect(&self.uri).await?;
        let row = self.ask(&mut connection, &self.password_query, &[user]).await?;
        let judgement = match row.map(|row| Secret::new(text(&row, 0))) {
            Some(password) if case.proof.proves(&password) => {
                let values = [user, &password.expose_text()];
                let row = self.ask(&mut connection, &self.sessions_query, &values).await?;
                Ok(row.map(|row| {
                    let field = |at| text(&row, at);
                    Account::new(&field(0), &field(1), &field(2), &field(3), &field(4))
                }))
            }
            Some(_) => Err(Denial::wrong_password()),
            None => {
                case.proof.waste();
                Err(Denial::unknown_user())
            }
        };
        connection.close().await?;
        Ok(judgement)
    }

    /// The first row of a query with as many of the values as it has places.
    async fn ask(
        &self,
        connection: &mut AnyConnection,
        query: &str,
        values: &[&str],
    ) -> Result<Option<AnyRow>, sqlx::Error> {
        let places = query.matches('?').count().max(query.matches('$').count());
        // the text is the administrator's; what the peer said is bound to its places
        let mut asked = sqlx::query(AssertSqlSafe(query.to_owned()));
        for value in values.iter().take(places) {
            asked = asked.bind((*value).to_owned());
        }
        asked.fetch_optional(connection).await
    }
}

/// A column as text: numbers are written out, and what is not there is empty.
fn text(row: &AnyRow, at: usize) -> String {
    let text = row.try_get::<String, _>(at);
    text.or_else(|_| row.try_get::<i64, _>(at).map(|number| number.to_string()))
        .unwrap_or_default()
}

impl Module for Sql {
    fn demand(&self) -> Demand {
        Demand::Proof
    }

    fn judge(self: Arc<Self>, case: Case) -> BoxFuture<'static, Judgement> {
        Box::pin(async move {
            match timeout(PATIENCE, self.check(&case)).await {
                Ok(Ok(judgement)) => judgement,
                Ok(Err(error)) => Err(Denial::new(format!("the database failed: {error}"))),
                Err(_) => Err(Denial::new(format!(
                    "no answer from the database in {PATIENCE:?}"
                ))),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::*;
    use super::*;
    use std::process::Command;

    /// A database made by the program of SQLite; `None` when it is not installed.
    fn database(directory: &std::path::Path, commands: &str) -> Option<String> {
        let path = directory.join("a b%?#.sdb");
        match Command::new("sqlite3").arg(&path).arg(commands).status() {
            Ok(status) => assert!(status.success()),
            Err(_) if std::env::var_os("CI").is_none() => {
                println!("skipped: sqlite3 is not installed");
                return None;
            }
            Err(error) => panic!("sqlite3: {error}"),
        }
        Some(path.display().to_string())
    }

    #[tokio::test]
    async fn users_of_a_database() {
        let directory = tempfile::tempdir().unwrap();
        let commands =
            "CREATE TABLE users (username VARCHAR(255), password VARCHAR(255), uid VARCHAR(63), gid INTEGER,
            displays VARCHAR(8191), env_options VARCHAR(8191), session_options VARCHAR(8191));
            INSERT INTO users VALUES ('fred', 'p w', '1000', 100, ':10,:11', 'A=1', 'x=y');
            INSERT INTO users VALUES ('empty', '', '1', 1, '', '', '');
            INSERT INTO users VALUES ('null', NULL, '1', 1, '', '', '');";
        let Some(file) = database(directory.path(), commands) else {
            return;
        };
        let chain = chain(&[&format!("sqlite:filename={file}")]);
        let (grant, _) = log_in(&chain, remote("fred"), &offered(), &["p w"]).await;
        let account = grant.unwrap().account.unwrap();
        assert_eq!(account, Account::new("1000", "100", ":10,:11", "A=1", "x=y"));
        for (user, password) in [
            ("fred", "wrong"),
            ("eve", "p w"),
            ("' OR '1'='1", "p w"),
            ("fred'--", "p w"),
            ("empty", "x"),
            ("null", "x"),
        ] {
            assert!(!passes(&chain, remote(user), &[password]).await, "{user}");
        }
        let own = format!(
            "sqlite:filename={file},password_query=\"SELECT 'k' || gid FROM users WHERE username=(%s)\",\
             sessions_query=\"SELECT gid, gid FROM users WHERE username=?\""
        );
        let (grant, _) = log_in(
            &chain_in(&context(), &[&own]),
            remote("fred"),
            &offered(),
            &["k100"],
        )
        .await;
        assert_eq!(
            grant.unwrap().account,
            Some(Account::new("100", "100", "", "", ""))
        );
    }

    #[tokio::test]
    async fn no_database_lets_nobody_in() {
        for module in [
            "sqlite:filename=/does/not/exist",
            "sql:uri=postgres://u:pw@127.0.0.1:1/db",
        ] {
            let (refused, _) = log_in(&chain(&[module]), remote("fred"), &offered(), &["x"]).await;
            let reason = refused.unwrap_err().to_string();
            assert!(reason.contains("database") && !reason.contains("pw"), "{reason}");
        }
        assert!(error("sql").contains("needs 'uri'"));
        assert!(!error("sql:uri=oracle://u:pw@host/").contains("pw"));
    }
}
