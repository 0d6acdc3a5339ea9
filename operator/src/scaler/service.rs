//! The four calls.

use std::{pin::Pin, sync::Arc};

use futures::{Stream, stream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::{
    Actors, Target,
    counts::Counts,
    proto::{
        GetMetricSpecResponse, GetMetricsRequest, GetMetricsResponse, IsActiveResponse, MetricSpec,
        MetricValue, ScaledObjectRef, external_scaler_server::ExternalScaler,
    },
    streams::Streams,
};
use crate::queues::Brokers;

/// The one metric, as KEDA knows it: messages that wait or are in work.
const METRIC: &str = "messages";

pub(super) struct Service {
    actors: Arc<dyn Actors>,
    counts: Counts,
    streams: Arc<Streams>,
    stop: CancellationToken,
}

impl Service {
    pub(super) fn new(
        actors: Arc<dyn Actors>,
        brokers: Arc<Brokers>,
        streams: Arc<Streams>,
        stop: CancellationToken,
    ) -> Self {
        Self { actors, counts: Counts::new(brokers), streams, stop }
    }

    /// The actor of a ScaledObject has its name.
    fn find(&self, object: &ScaledObjectRef) -> Result<Target, Status> {
        let ScaledObjectRef { name, namespace } = object;
        self.actors.find(namespace, name).ok_or_else(|| {
            Status::not_found(format!(
                "no AsyncActor {name:?} in namespace {namespace:?} with a queue of its own is known to the operator"
            ))
        })
    }

    async fn count(&self, object: &ScaledObjectRef) -> Result<u64, Status> {
        let target = self.find(object)?;
        let sidecars = || self.actors.sidecars(&object.namespace, &object.name);
        // An error holds the workload as it is; a made-up zero would end its pods.
        self.counts.of(&target, sidecars).await.map_err(Status::unavailable)
    }
}

#[tonic::async_trait]
impl ExternalScaler for Service {
    type StreamIsActiveStream = Pin<Box<dyn Stream<Item = Result<IsActiveResponse, Status>> + Send>>;

    async fn is_active(
        &self,
        request: Request<ScaledObjectRef>,
    ) -> Result<Response<IsActiveResponse>, Status> {
        let result = self.count(request.get_ref()).await? > 0;
        Ok(Response::new(IsActiveResponse { result }))
    }

    async fn stream_is_active(
        &self,
        request: Request<ScaledObjectRef>,
    ) -> Result<Response<Self::StreamIsActiveStream>, Status> {
        let object = request.into_inner();
        self.find(&object)?;
        let open = self.streams.listen((object.namespace, object.name)).ok_or_else(|| {
            Status::resource_exhausted(format!("{} streams are open already", super::MAX_STREAMS))
        })?;
        let news = stream::unfold((open, self.stop.clone()), async |(mut open, stop)| {
            tokio::select! {
                () = stop.cancelled() => None,
                () = open.woken() => Some((Ok(IsActiveResponse { result: true }), (open, stop))),
            }
        });
        Ok(Response::new(Box::pin(news)))
    }

    async fn get_metric_spec(
        &self,
        request: Request<ScaledObjectRef>,
    ) -> Result<Response<GetMetricSpecResponse>, Status> {
        let target = self.find(request.get_ref())?;
        let spec = MetricSpec {
            metric_name: METRIC.to_owned(),
            target_size: target.queue_length.into(),
            target_size_float: target.queue_length.into(),
        };
        Ok(Response::new(GetMetricSpecResponse { metric_specs: vec![spec] }))
    }

    async fn get_metrics(
        &self,
        request: Request<GetMetricsRequest>,
    ) -> Result<Response<GetMetricsResponse>, Status> {
        let request = request.into_inner();
        let object = request
            .scaled_object_ref
            .ok_or_else(|| Status::invalid_argument("scaledObjectRef is missing: which actor?"))?;
        let count = i64::try_from(self.count(&object).await?).unwrap_or(i64::MAX);
        #[allow(clippy::cast_precision_loss, reason = "beyond 2^53 messages nobody counts")]
        let value = MetricValue {
            metric_name: METRIC.to_owned(),
            metric_value: count,
            metric_value_float: count as f64,
        };
        Ok(Response::new(GetMetricsResponse { metric_values: vec![value] }))
    }
}
