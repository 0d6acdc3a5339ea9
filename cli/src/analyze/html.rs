//! The report as a page for a browser: one file, nothing is loaded, nothing runs.

use std::fmt::Write as _;

use asya_analysis::Failure;

use super::{Finding, Report, counted, number, word};

/// Neither scripts nor anything from elsewhere, whatever got into the page.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8884;--dim:#595959;--critical:#b3132b;--error:#c2410c;--warning:#a16207;--info:#2563eb}\
@media(prefers-color-scheme:dark){:root{--dim:#adadad;--critical:#ff6b81;--error:#fb923c;--warning:#facc15;--info:#60a5fa}}\
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.4rem;margin:0}h2{font-size:1.05rem;margin:2rem 0 .5rem}\
article{border:1px solid var(--line);border-left-width:4px;border-radius:4px;padding:.6rem .9rem;margin:.6rem 0}\
h3{font-size:1rem;margin:0}small,dd,.dim{color:var(--dim)}p{margin:.3rem 0;white-space:pre-wrap;overflow-wrap:anywhere}\
code,pre{font:13px/1.5 ui-monospace,monospace;overflow-wrap:anywhere}pre{border:1px solid var(--line);padding:.6rem;overflow:auto}\
summary{cursor:pointer;color:var(--dim)}ul{margin:.3rem 0;padding-left:1.2rem}\
.critical{border-left-color:var(--critical)}.error{border-left-color:var(--error)}\
.warning{border-left-color:var(--warning)}.info{border-left-color:var(--info)}\
b.critical{color:var(--critical)}b.error{color:var(--error)}b.warning{color:var(--warning)}b.info{color:var(--info)}";

/// The report as a page.
pub(crate) fn html(report: &Report) -> String {
    let place = &report.place;
    let mut page = String::new();
    let problems = match report.problems() {
        0 => "No problems".to_owned(),
        problems => format!("{}: {}", number(problems, "problem"), counted(&report.counts())),
    };
    // Writing to a String cannot fail.
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\
         <title>{} - {}</title><style>{STYLE}</style></head>\n<body><h1>{}</h1>\n\
         <small>{} in {} of {} ({}, {}) at {}</small>\n",
        escape(&problems),
        escape(&place.context),
        escape(&problems),
        number(report.objects, "object"),
        escape(&place.scope),
        escape(&place.context),
        escape(&place.server),
        escape(&place.version),
        report.time.strftime("%Y-%m-%d %H:%M:%S UTC"),
    );
    let mut severity = None;
    for finding in &report.findings {
        if severity != Some(finding.severity) {
            severity = Some(finding.severity);
            let word = word(finding.severity);
            let _ = writeln!(page, "<h2><b class=\"{word}\">{word}</b></h2>");
        }
        article(&mut page, report, finding);
    }
    list(&mut page, "Could not look", &report.errors);
    list(&mut page, "Notes", &report.notes);
    let open: Vec<String> = report
        .open
        .iter()
        .map(|open| {
            let more = if open.count > open.about.len() { ", …" } else { "" };
            format!("{} {}: {}{more}", open.count, open.why, open.about.join(", "))
        })
        .collect();
    list(&mut page, "Could not verify", &open);
    list(&mut page, "Missing rights", &report.rights.sentences());
    let commands = report.rights.commands();
    if !commands.is_empty() {
        let _ = writeln!(page, "<pre>{}</pre>", escape(&commands.join("\n")));
    }
    page.push_str("</body></html>");
    page
}

fn article(page: &mut String, report: &Report, finding: &Finding) {
    let parent =
        finding.parent.as_ref().map(|parent| format!(" <small>of {}</small>", escape(&parent.to_string())));
    let _ = writeln!(
        page,
        "<article class=\"{}\"><h3>{}{}</h3>",
        word(finding.severity),
        escape(&finding.object.to_string()),
        parent.unwrap_or_default()
    );
    for failure in &finding.failures {
        failed(page, report, failure);
    }
    if let Some(explanation) = &finding.explanation {
        let _ =
            write!(page, "<h3>{} says</h3><p>{}</p>", escape(&report.provider), escape(&explanation.text));
        if !explanation.made_up.is_empty() {
            let made_up = escape(&explanation.made_up.join(", "));
            let _ = write!(
                page,
                "<p><b class=\"warning\">It cites evidence that does not exist: {made_up}</b></p>"
            );
        }
    }
    page.push_str("</article>\n");
}

fn failed(page: &mut String, report: &Report, failure: &Failure) {
    let word = word(failure.severity);
    let _ = write!(
        page,
        "<p><b class=\"{word}\">{}</b> {}</p><details><summary>where to see it</summary><ul>",
        escape(&failure.code),
        escape(&failure.text)
    );
    for evidence in &failure.evidence {
        let value = match &evidence.value {
            Some(value) => format!(" = <code>{}</code>", escape(value)),
            None => " is missing".to_owned(),
        };
        let _ = write!(
            page,
            "<li>{} <code>{}</code>{value}</li>",
            escape(&evidence.object.to_string()),
            escape(&evidence.path)
        );
    }
    page.push_str("</ul>");
    if let Some(documentation) = report.documentation(failure) {
        let field = failure.field.as_deref().unwrap_or_default();
        let _ =
            write!(page, "<p class=\"dim\"><code>{}</code>: {}</p>", escape(field), escape(documentation));
    }
    page.push_str("</details>\n");
}

fn list(page: &mut String, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let _ = write!(page, "<h2>{title}</h2><ul>");
    for line in lines {
        let _ = write!(page, "<li>{}</li>", escape(line));
    }
    page.push_str("</ul>\n");
}

/// Text as it stands between tags and in attributes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // No characters of HTML; and what turns the direction of writing would make a line read as another.
            c if c.is_control() && c != '\n' && c != '\t' => escaped.push('\u{fffd}'),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use asya_cluster::report::testing::{healthy, report};

    use super::*;

    #[test]
    fn what_the_cluster_says_is_text_and_nothing_else() {
        let page = html(&report());
        assert!(!page.contains("<script"), "{page}");
        assert!(page.contains("&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt; &amp; &#39;y&#39;"));
        assert!(!page.contains('\u{1b}'));
        // Every tag is one of ours.
        for tag in page.split('<').skip(1) {
            let name: String =
                tag.chars().take_while(|c| c.is_ascii_alphanumeric() || "!/".contains(*c)).collect();
            let known = [
                "!doctype", "html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "small", "b",
                "article", "p", "details", "summary", "ul", "li", "code", "pre",
            ];
            assert!(known.contains(&name.trim_start_matches('/')), "<{name}");
        }
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere() {
        let page = html(&report());
        assert!(page.contains("default-src 'none'"));
        for reference in ["src=", "href=", "url(", "@import"] {
            assert!(!page.contains(reference), "{reference}");
        }
    }

    #[test]
    fn it_says_what_was_found_and_what_was_not_looked_at() {
        let page = html(&report());
        for part in [
            "3 problems: 1 critical, 1 error, 1 warning",
            "Node worker-3",
            "of Deployment.apps shop/web",
            ".status.containerStatuses[0].restartCount",
            "Could not look",
            "etcd timed out",
            "kubectl create clusterrole asya-analyze --verb=list --resource=events",
        ] {
            assert!(page.contains(part), "{part}");
        }
        assert!(html(&healthy()).contains("<h1>No problems</h1>"));
    }
}
