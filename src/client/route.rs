//! A daemon group as requests find it: its client, or why it has none.

use super::group::GroupClient;

/// A daemon group: how to reach it, or why it is not there.
#[derive(Debug)]
pub struct Group {
    pub(super) name: String,
    pub(super) client: Result<GroupClient, String>,
}

impl Group {
    /// A group that was set up.
    pub fn started(client: GroupClient) -> Group {
        Group {
            name: client.name().to_owned(),
            client: Ok(client),
        }
    }

    /// A group that could not be set up; requests for it get 503 (DMN-107).
    pub fn not_started(name: String, reason: String) -> Group {
        Group {
            name,
            client: Err(reason),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}
