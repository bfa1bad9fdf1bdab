//! Which practice and provider a launch is for.
//!
//! Guards: whatever is wrong answers the same `invalid_issuer`, so that the launch address tells
//! nobody which practices there are.

use super::Asked;
use crate::model::address::Address;
use crate::model::id::{PracticeId, ProviderId};
use crate::model::problem::Code;
use crate::server::App;
use crate::server::failure::{Failure, Outcome};
use crate::server::flow::client::{self, Ready};
use crate::server::store::launch_rules;

/// The practice and its provider, filled and switched on, that the issuer belongs to.
pub(super) async fn resolve(app: &App, asked: &Asked<'_>) -> Outcome<(PracticeId, Ready)> {
    let iss = Address::parse(asked.iss).map_err(|_| refused("iss is no address"))?;
    let candidates = match (&asked.practice, &asked.provider) {
        (Some(practice), Some(provider)) => vec![(practice.clone(), provider.clone())],
        _ => configured_for(app, asked, &iss).await?,
    };
    let mut found = Vec::new();
    for (practice, provider) in candidates {
        match client::ready(app, &practice, &provider).await {
            Ok(ready) if ready.plugin.launch_issuers(&ready.config).contains(&iss) => found.push((practice, ready)),
            Ok(_) | Err(Failure::Problem(_)) => {}
            Err(fault) => return Err(fault),
        }
    }
    match found.pop() {
        Some(one) if found.is_empty() => Ok(one),
        Some(_) => Err(refused("more than one practice is configured for this issuer")),
        None => Err(refused("no practice is configured for this issuer")),
    }
}

async fn configured_for(app: &App, asked: &Asked<'_>, iss: &Address) -> Outcome<Vec<(PracticeId, ProviderId)>> {
    let mut all = launch_rules::configured_for(&app.db, &iss.to_string()).await?;
    all.retain(|(practice, provider)| {
        asked.practice.as_ref().is_none_or(|wanted| wanted == practice)
            && asked.provider.as_ref().is_none_or(|wanted| wanted == provider)
    });
    Ok(all)
}

fn refused(why: &str) -> Failure {
    Failure::explained(Code::InvalidIssuer, why)
}
