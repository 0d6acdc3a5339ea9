//! What actors are told that are no end actors, as it is written.

/// Their options, one environment variable each.
#[derive(clap::Args, Clone, Debug, Default)]
#[group(id = "work")]
pub struct Args {
    /// fan-in: how long a group waits for its parts unless a header says otherwise.
    #[arg(long, env = "ASYA_FAN_IN_TIMEOUT", value_name = "DURATION", help_heading = "Fan-in")]
    pub fan_in_timeout: Option<String>,
    /// fan-in: what becomes of an incomplete group then: fail, or partial (what has come goes on).
    #[arg(long, env = "ASYA_FAN_IN_INCOMPLETE", value_name = "WHAT", help_heading = "Fan-in")]
    pub fan_in_incomplete: Option<String>,
    /// fan-in: how long a joined envelope is kept for a message that comes again.
    #[arg(long, env = "ASYA_FAN_IN_RETENTION", value_name = "DURATION", help_heading = "Fan-in")]
    pub fan_in_retention: Option<String>,
    /// schedule: what is sent when, as a JSON array of {name, cron, timezone, route, payload, missed}.
    #[arg(long, env = "ASYA_SCHEDULES", value_name = "JSON", help_heading = "Schedule and park")]
    pub schedules: Option<String>,
    /// schedule: a file with the same.
    #[arg(long, env = "ASYA_SCHEDULES_FILE", value_name = "FILE", help_heading = "Schedule and park")]
    pub schedules_file: Option<String>,
    /// park: how long an envelope waits unless its header says otherwise.
    #[arg(long, env = "ASYA_PARK_TIMEOUT", value_name = "DURATION", help_heading = "Schedule and park")]
    pub park_timeout: Option<String>,
    /// http-call: what is called; path and query may have places such as {payload.order}.
    #[arg(long, env = "ASYA_HTTP_ENDPOINT", value_name = "URL", help_heading = "HTTP calls")]
    pub http_endpoint: Option<String>,
    /// http-call: the method, POST unless given.
    #[arg(long, env = "ASYA_HTTP_METHOD", value_name = "METHOD", help_heading = "HTTP calls")]
    pub http_method: Option<String>,
    /// http-call: headers, as a JSON object; values may have places, and {file:PATH} for secrets.
    #[arg(
        long,
        env = "ASYA_HTTP_HEADERS",
        value_name = "JSON",
        help_heading = "HTTP calls",
        hide_env_values = true
    )]
    pub http_headers: Option<String>,
    /// http-call: what is sent: none, payload, or a part of it such as payload.order.
    #[arg(long, env = "ASYA_HTTP_BODY", value_name = "PLACE", help_heading = "HTTP calls")]
    pub http_body: Option<String>,
    /// http-call: what payload.request may choose: method, url, headers, body.
    #[arg(long, env = "ASYA_HTTP_FROM_PAYLOAD", value_name = "PARTS", help_heading = "HTTP calls")]
    pub http_from_payload: Option<String>,
    /// http-call, http-get: servers (of http-call besides that of the URL): names, *.NAME, addresses, networks.
    #[arg(long, env = "ASYA_HTTP_ALLOW", value_name = "SERVERS", help_heading = "HTTP calls")]
    pub http_allow: Option<String>,
    /// http-call, http-get: redirects that are followed.
    #[arg(long, env = "ASYA_HTTP_REDIRECTS", value_name = "N", help_heading = "HTTP calls")]
    pub http_redirects: Option<String>,
    /// http-call, http-get: how long one run may take, redirects included.
    #[arg(long, env = "ASYA_HTTP_TIMEOUT", value_name = "DURATION", help_heading = "HTTP calls")]
    pub http_timeout: Option<String>,
    /// http-call: runs while the server is away or asks to wait.
    #[arg(long, env = "ASYA_HTTP_RETRY_ATTEMPTS", value_name = "N", help_heading = "HTTP calls")]
    pub http_retry_attempts: Option<String>,
    /// http-call: first pause between them.
    #[arg(long, env = "ASYA_HTTP_RETRY_INITIAL_DELAY", value_name = "DURATION", help_heading = "HTTP calls")]
    pub http_retry_initial_delay: Option<String>,
    /// http-call: longest pause.
    #[arg(long, env = "ASYA_HTTP_RETRY_MAX_DELAY", value_name = "DURATION", help_heading = "HTTP calls")]
    pub http_retry_max_delay: Option<String>,
    /// http-call: statuses that are a result, such as 200-299,404.
    #[arg(long, env = "ASYA_HTTP_STATUSES", value_name = "LIST", help_heading = "HTTP calls")]
    pub http_statuses: Option<String>,
    /// http-call, http-get: largest body, or for http-get text, of an answer.
    #[arg(long, env = "ASYA_HTTP_MAX_ANSWER", value_name = "BYTES", help_heading = "HTTP calls")]
    pub http_max_answer: Option<String>,
    /// http-call: headers of the answer that are kept.
    #[arg(long, env = "ASYA_HTTP_ANSWER_HEADERS", value_name = "NAMES", help_heading = "HTTP calls")]
    pub http_answer_headers: Option<String>,
    /// http-call: the member of the payload that the answer becomes; without it the whole payload.
    #[arg(long, env = "ASYA_HTTP_ANSWER_FIELD", value_name = "NAME", help_heading = "HTTP calls")]
    pub http_answer_field: Option<String>,
    /// http-call, http-get: PEM file of the authorities to trust instead of the system's.
    #[arg(long, env = "ASYA_HTTP_CA_FILE", value_name = "FILE", help_heading = "HTTP calls")]
    pub http_ca_file: Option<String>,
    /// http-call, http-get: requests at the same time.
    #[arg(long, env = "ASYA_HTTP_CONCURRENCY", value_name = "N", help_heading = "HTTP calls")]
    pub http_concurrency: Option<String>,
    /// mcp-call: the server's address (streamable HTTP).
    #[arg(
        long,
        env = "ASYA_MCP_URL",
        value_name = "URL",
        help_heading = "MCP servers",
        hide_env_values = true
    )]
    pub mcp_url: Option<String>,
    /// mcp-call: the server as a program that speaks on its standard input and output, as a JSON list of words.
    #[arg(
        long,
        env = "ASYA_MCP_COMMAND",
        value_name = "JSON",
        help_heading = "MCP servers",
        hide_env_values = true
    )]
    pub mcp_command: Option<String>,
    /// mcp-call: names and globs of the server's tools that may be called.
    #[arg(long, env = "ASYA_MCP_TOOLS", value_name = "NAMES", help_heading = "MCP servers")]
    pub mcp_tools: Option<String>,
    /// mcp-call: headers, as a JSON object; values may have {file:PATH} for secrets.
    #[arg(
        long,
        env = "ASYA_MCP_HEADERS",
        value_name = "JSON",
        help_heading = "MCP servers",
        hide_env_values = true
    )]
    pub mcp_headers: Option<String>,
    /// mcp-call: variables that the program gets besides PATH, HOME, LANG and TMPDIR.
    #[arg(long, env = "ASYA_MCP_PASS", value_name = "NAMES", help_heading = "MCP servers")]
    pub mcp_pass: Option<String>,
    /// mcp-call: how long the beginning of a session may take, and then a call.
    #[arg(long, env = "ASYA_MCP_TIMEOUT", value_name = "DURATION", help_heading = "MCP servers")]
    pub mcp_timeout: Option<String>,
    /// mcp-call: longest text of an answer.
    #[arg(long, env = "ASYA_MCP_MAX_ANSWER", value_name = "BYTES", help_heading = "MCP servers")]
    pub mcp_max_answer: Option<String>,
    /// mcp-call: PEM file of the authorities to trust instead of the system's.
    #[arg(long, env = "ASYA_MCP_CA_FILE", value_name = "FILE", help_heading = "MCP servers")]
    pub mcp_ca_file: Option<String>,
    /// mcp-call: calls at the same time.
    #[arg(long, env = "ASYA_MCP_CONCURRENCY", value_name = "N", help_heading = "MCP servers")]
    pub mcp_concurrency: Option<String>,
}

impl Args {
    /// The value that was given for a variable.
    pub fn get(&self, name: &str) -> Option<String> {
        let value = match name {
            "ASYA_FAN_IN_TIMEOUT" => &self.fan_in_timeout,
            "ASYA_FAN_IN_INCOMPLETE" => &self.fan_in_incomplete,
            "ASYA_FAN_IN_RETENTION" => &self.fan_in_retention,
            "ASYA_SCHEDULES" => &self.schedules,
            "ASYA_SCHEDULES_FILE" => &self.schedules_file,
            "ASYA_PARK_TIMEOUT" => &self.park_timeout,
            "ASYA_HTTP_ENDPOINT" => &self.http_endpoint,
            "ASYA_HTTP_METHOD" => &self.http_method,
            "ASYA_HTTP_HEADERS" => &self.http_headers,
            "ASYA_HTTP_BODY" => &self.http_body,
            "ASYA_HTTP_FROM_PAYLOAD" => &self.http_from_payload,
            "ASYA_HTTP_ALLOW" => &self.http_allow,
            "ASYA_HTTP_REDIRECTS" => &self.http_redirects,
            "ASYA_HTTP_TIMEOUT" => &self.http_timeout,
            "ASYA_HTTP_RETRY_ATTEMPTS" => &self.http_retry_attempts,
            "ASYA_HTTP_RETRY_INITIAL_DELAY" => &self.http_retry_initial_delay,
            "ASYA_HTTP_RETRY_MAX_DELAY" => &self.http_retry_max_delay,
            "ASYA_HTTP_STATUSES" => &self.http_statuses,
            "ASYA_HTTP_MAX_ANSWER" => &self.http_max_answer,
            "ASYA_HTTP_ANSWER_HEADERS" => &self.http_answer_headers,
            "ASYA_HTTP_ANSWER_FIELD" => &self.http_answer_field,
            "ASYA_HTTP_CA_FILE" => &self.http_ca_file,
            "ASYA_HTTP_CONCURRENCY" => &self.http_concurrency,
            "ASYA_MCP_URL" => &self.mcp_url,
            "ASYA_MCP_COMMAND" => &self.mcp_command,
            "ASYA_MCP_TOOLS" => &self.mcp_tools,
            "ASYA_MCP_HEADERS" => &self.mcp_headers,
            "ASYA_MCP_PASS" => &self.mcp_pass,
            "ASYA_MCP_TIMEOUT" => &self.mcp_timeout,
            "ASYA_MCP_MAX_ANSWER" => &self.mcp_max_answer,
            "ASYA_MCP_CA_FILE" => &self.mcp_ca_file,
            "ASYA_MCP_CONCURRENCY" => &self.mcp_concurrency,
            // Those of the analysis are no options of the command line: they are many, and lists and JSON among them.
            name => return std::env::var(name).ok(),
        };
        value.clone()
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;

    #[test]
    fn each_option_is_found_by_its_variable() {
        let command = Args::augment_args(clap::Command::new("test"));
        let names: Vec<_> = command
            .get_arguments()
            .map(|argument| (argument.get_long().unwrap().to_owned(), argument.get_env().unwrap().to_owned()))
            .collect();
        for (long, variable) in names {
            let matches = command.clone().get_matches_from(["test", &format!("--{long}"), "given"]);
            let args = Args::from_arg_matches(&matches).unwrap();
            assert_eq!(args.get(variable.to_str().unwrap()).as_deref(), Some("given"), "{variable:?}");
        }
    }
}
