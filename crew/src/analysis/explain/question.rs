//! What a model is asked about a finding, and what its answer says.

use asya_analysis::{
    Citable, Finding, citable,
    message::{Cited, Explanation},
};
use asya_llm::{
    Finish, Response, citations,
    mask::{Masker, Masking},
    prompt::{About, Evidence, Prompt, Templates, WrongPrompt},
};
use jiff::Timestamp;

/// A question that is ready, and the way back from its answer. It holds what was masked: keep it beside the call and
/// nowhere else.
pub(super) struct Question<'a> {
    pub(super) prompt: Prompt,
    masking: Masking<'a>,
    /// Where each piece of evidence is seen, unmasked.
    sources: Vec<Cited>,
    language: String,
}

impl<'a> Question<'a> {
    /// The question about a finding.
    pub(super) fn new(
        finding: &Finding,
        templates: &Templates,
        masker: &'a Masker,
        language: &str,
    ) -> Result<Self, WrongPrompt> {
        let mut masking = masker.masking();
        let (mut evidence, mut sources) = (Vec::new(), Vec::new());
        let object = &finding.object;
        let own: Vec<&str> = [Some(object), finding.parent.as_ref()]
            .into_iter()
            .flatten()
            .flat_map(|object| [Some(object.name.as_str()), object.namespace.as_deref()])
            .flatten()
            .collect();
        for Citable { id, failure, evidence: seen } in citable(&finding.failures) {
            let names: Vec<&str> =
                own.iter().copied().chain(failure.sensitive.iter().map(String::as_str)).collect();
            let (source, masked, text) = match seen.map(|seen| (seen, &seen.value)) {
                None => (failure.code.clone(), failure.code.clone(), masking.naming(&failure.text, &names)),
                Some((_, None)) => continue,
                Some((seen, Some(value))) => {
                    let name = named(&mut masking, seen.object.namespace.as_deref(), &seen.object.name);
                    let path = masking.naming(&seen.path, &names);
                    let masked = format!("{} {name} {path}", seen.object.kind);
                    (format!("{} {}", seen.object, seen.path), masked, masking.naming(value, &names))
                }
            };
            sources.push(Cited { id: id.clone(), source });
            evidence.push(Evidence { id, source: masked, text });
        }
        let name = named(&mut masking, object.namespace.as_deref(), &object.name);
        // Which analyzer found it is not known here, so templates are those of kinds.
        let about = About { analyzer: "", kind: &object.kind.kind, name: &name, language };
        let prompt = templates.prompt(&about, &evidence)?;
        Ok(Self { prompt, masking, sources, language: language.to_owned() })
    }

    /// What the answer says, with names as they are and secrets hidden; `None`: it has no words.
    pub(super) fn answered(&self, response: &Response, provider: &str, model: &str) -> Option<Explanation> {
        let text = self.masking.unmask_names(response.text.trim());
        if text.is_empty() {
            return None;
        }
        let found = citations::check(&response.text, &self.prompt.ids);
        let evidence = self.sources.iter().filter(|source| found.cited.contains(&source.id)).cloned();
        Some(Explanation {
            text,
            provider: provider.to_owned(),
            model: model.to_owned(),
            language: self.language.clone(),
            at: Timestamp::now(),
            evidence: evidence.collect(),
            invented: found.unknown,
            cut: response.finish == Finish::Length,
        })
    }
}

fn named(masking: &mut Masking<'_>, namespace: Option<&str>, name: &str) -> String {
    let name = masking.name(name);
    namespace.map_or(name.clone(), |namespace| format!("{}/{name}", masking.name(namespace)))
}
