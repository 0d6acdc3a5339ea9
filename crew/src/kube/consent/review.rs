//! Whether those concerned may: the person who asked, and the tool itself.

use asya_cluster::review;
use asya_session::Review;
use kube::Client;

use super::{
    refused::{Refused, Stop},
    shown::sentence,
};

/// Whether person and tool have all of these rights.
pub(crate) async fn both(
    client: &Client,
    person: &review::Person,
    rights: &[review::Right],
) -> Result<Review, Stop> {
    for right in rights {
        let (theirs, own) = futures::join!(person.may(client, right), review::own(client, right));
        for (who, said) in [(format!("{:?}", person.user), theirs), ("this tool".to_owned(), own)] {
            let said = said.map_err(|error| Refused(format!("whether {who} may {right}: {error}")))?;
            if !said.allowed {
                let because = if said.reason.is_empty() { "" } else { ": " };
                return Err(
                    Refused(format!("{who} may not {right}{because}{}", sentence(&said.reason))).into()
                );
            }
        }
    }
    let said: Vec<String> = rights.iter().map(ToString::to_string).collect();
    Ok(Review { person: Some(true), tool: Some(true), reason: said.join(", ") })
}
