//! Notifies waiting workers through Redis, as the library does where it is configured so.

use sen_core::error::{Error, Result};
use sen_core::stores::url::Target;

use crate::session::Session;

/// Where workers listen.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Notify {
    /// Publish what the library would, so that waiting workers hear it at once: redis://… (SEN_NOTIFY_URL)
    #[arg(long, value_name = "URL")]
    pub notify: Option<String>,
}

impl Notify {
    /// The Redis that is meant, before anything is written.
    pub fn target(&self, session: &Session) -> Result<Option<Target>> {
        let named = match &self.notify {
            Some(url) => Some(url.clone()),
            None => session.setting("SEN_NOTIFY_URL")?.filter(|url| !url.is_empty()),
        };
        let Some(url) = named else { return Ok(None) };
        match Target::resolve(Some(&url), &|_| None).map_err(|error| error.with_context("--notify"))? {
            target @ Target::Redis(_) => Ok(Some(target)),
            _ => Err(Error::usage("--notify takes a Redis: redis://… or rediss://…")),
        }
    }
}

/// Publishes what the act announced. It is done by then: what goes wrong here is a warning.
pub async fn publish(target: Option<Target>, session: &Session) {
    let announced = session.announced();
    let Some(target) = target.filter(|_| !announced.is_empty()) else { return };
    if let Err(error) = send(&target, &announced, session).await {
        session.warn(format!("done, but the notification failed ({error}): workers see the change at their next poll"));
    }
}

#[cfg(feature = "redis")]
async fn send(target: &Target, announced: &[(String, String)], session: &Session) -> Result<()> {
    use std::time::Duration;
    let Target::Redis(info) = target else { return Ok(()) };
    let limit = session.globals.timeout.unwrap_or(Duration::from_secs(10));
    let redis = sen_core::stores::redis::Redis::connect(info, Some(limit)).await?;
    for (topic, message) in announced {
        redis.publish(topic, message).await?;
    }
    Ok(())
}

#[cfg(not(feature = "redis"))]
async fn send(_: &Target, _: &[(String, String)], _: &Session) -> Result<()> {
    Err(Error::usage("this build of sen cannot open a Redis"))
}
