"""Renderings that between them show every template of every chart: name -> chart and values."""

from __future__ import annotations

from rendering import Object

TLS = {"tls": {"source": "cert-manager", "issuerRef": {"name": "ca"}}}
EVERYTHING: Object = {
    "replicaCount": 2,
    "crds": {"install": "template"},
    "imagePullSecrets": ["pull"],
    "serviceMonitor": {"enabled": True},
    "podMonitor": {"enabled": True},
    "prometheusRule": {"enabled": True},
    "dashboards": {"enabled": True},
    "networkPolicy": {"enabled": True, "egress": [{"ports": [{"protocol": "TCP", "port": 7777}]}]},
    "runtime": {"local": {"path": "/etc/asya_runtime.py"}},
    "transports": {
        "rabbitmq": {
            "projectTo": ["team-a"],
            "config": {"passwordSecretRef": {"name": "r"}, "managementURL": "http://r:15672"},
        },
        "sqs": {
            "enabled": True,
            "config": {
                "accountId": "123456789012",
                "actorRoleArn": "arn:aws:iam::1:role/a",
                "endpoint": "http://localstack:4566",
                "credentials": {"accessKeyIdSecretRef": {"name": "a"}, "secretAccessKeySecretRef": {"name": "b"}},
            },
        },
    },
}
ACTORS: Object = {
    "transport": "rabbitmq",
    "actors": [
        {"name": "one", "image": "i:1", "handler": "m.one", "labels": {"a": "b"}, "env": [{"name": "A", "value": "b"}]},
        {"name": "two", "namespace": "other", "handlerFrom": {"configMap": "code"}, "handler": "m.two"},
        {
            "name": "three",
            "transport": "sqs",
            "scaling": {"maxReplicas": 3},
            "workload": {"template": {"spec": {"containers": [{"name": "asya-runtime", "image": "i:1"}]}}},
        },
    ],
}
DATABASE: Object = {
    "replicaCount": 2,
    "postgresql": {"enabled": True},
    "auth": {"mode": "on", "tokensSecretRef": {"name": "tokens"}},
    "ingress": {"enabled": True, "className": "nginx", "tls": [{"secretName": "t", "hosts": ["asya-gateway.local"]}]},
    "autoscaling": {"enabled": True},
    "routes": {
        "tools": [{"name": "echo", "parameters": {"text": {"type": "string"}}, "route": "all"}],
        "routes": {"all": ["echo"]},
    },
}

CREW: Object = {
    "database": {"existingSecret": "db"},
    "fan-in": {"enabled": True},
    "schedule": {"enabled": True},
    "park": {"enabled": True},
    "http-call": {
        "enabled": True,
        "spec": {"env": [{"name": "ASYA_HTTP_ENDPOINT", "value": "https://api.example.com/{payload.id}"}]},
    },
}

AGENTS: Object = {
    "imagePullSecrets": ["pull"],
    "agent": {"enabled": True},
    "k8s-write": {"enabled": True, "namespaces": ["shop"], "kinds": ["/Secret"]},
    "helm": {
        "enabled": True,
        "namespaces": ["shop"],
        "repositories": [{"name": "own", "url": "https://charts.example", "charts": ["redis"]}],
        "role": {"resources": [{"name": "services", "apiGroup": ""}]},
    },
    "http-get": {"enabled": True, "allow": ["api.example.com"]},
    "people": {"user": "{sub}"},
    "rbac": {
        "role": {"resources": [{"name": "deployments", "apiGroup": "apps"}]},
        "clusterRole": {"resources": [{"name": "nodes", "apiGroup": ""}]},
    },
    "networkPolicy": {"enabled": True, "egress": [{"ports": [{"protocol": "TCP", "port": 7777}]}]},
}

ANALYSIS: Object = {
    "replicaCount": 2,
    "crds": {"install": "template"},
    "imagePullSecrets": ["pull"],
    "analysis": {"secrets": "metadata"},
    "serviceMonitor": {"enabled": True},
    "prometheusRule": {"enabled": True},
    "dashboards": {"enabled": True},
    "networkPolicy": {"enabled": True, "egress": [{"ports": [{"protocol": "TCP", "port": 7777}]}]},
}

CASES: dict[str, tuple[str, Object]] = {
    "operator": ("asya-operator", {}),
    "operator with everything": ("asya-operator", EVERYTHING),
    "operator with cert-manager": ("asya-operator", {"scaler": {"push": {"enabled": True, **TLS}}}),
    "operator of two namespaces": ("asya-operator", {"watchNamespaces": ["a", "b"]}),
    "CRDs only": ("asya-operator", {"crdsOnly": True}),
    "end actors": ("asya-crew", {}),
    "all shipped actors": ("asya-crew", CREW),
    "one actor": ("asya-actor", {"name": "one", "transport": "sqs", "image": "i:1", "handler": "m.f"}),
    "a list of actors": ("asya-actor", ACTORS),
    "gateway": ("asya-gateway", {}),
    "gateway with a database": ("asya-gateway", DATABASE),
    "gateway with somebody else's database": (
        "asya-gateway",
        {"externalDatabase": {"host": "db", "existingSecret": "db"}},
    ),
    "cluster analysis": ("asya-analysis", {}),
    "cluster analysis with everything": ("asya-analysis", ANALYSIS),
    "cluster analysis of two namespaces": ("asya-analysis", {"watchNamespaces": ["a", "b"]}),
    "agents": ("asya-agents", {}),
    "agents with everything": ("asya-agents", AGENTS),
    "all on a trial broker": (
        "asya",
        {
            "trialBroker": {"enabled": True},
            "asya-gateway": {"enabled": True},
            "asya-analysis": {"enabled": True},
            "asya-agents": {"enabled": True},
            "asya-operator": {"gatewayURL": "http://asya-gateway.asya-system.svc.cluster.local"},
        },
    ),
}
