//! The state of an actor in one word: what each means, and what a person does about it.

macro_rules! words {
    ($($word:ident $meaning:literal, $advice:literal;)+) => {
        /// The state of an actor in one word.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Word {
            $(#[doc = $meaning] $word,)+
        }

        impl Word {
            /// Every word with its meaning, in order of decision; the table of the documentation.
            pub const ALL: &[(Self, &'static str)] = &[$((Self::$word, $meaning)),+];

            /// The word itself.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$word => stringify!($word),)+
                }
            }

            /// What it means, as half a sentence.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$word => $meaning,)+
                }
            }

            /// What a person does about it, as half a sentence; `POD` and `NAME` are to be filled in.
            pub fn advice(self) -> &'static str {
                match self {
                    $(Self::$word => $advice,)+
                }
            }

            /// The word of a status; `None` for one of another version.
            pub fn read(text: &str) -> Option<Self> {
                Self::ALL.iter().map(|(word, _)| *word).find(|word| word.as_str() == text)
            }
        }
    };
}

words! {
    Terminating "the actor is being deleted; the condition Deleting says what is waited for",
        "wait; if it lasts, read `Deleting`";
    Creating "the actor was just seen; its workload is not there yet",
        "wait a moment; if it lasts, read the operator's log";
    TransportError "the transport is not configured, the broker does not answer, or the queue is missing or not ours",
        "read `TransportReady`";
    PendingResources "a pod finds no node with room for it",
        "`kubectl describe pod` names what no node has; add nodes or lower the requests";
    ImagePullError "an image cannot be pulled",
        "check the image's name, and the pull secrets of the namespace";
    ConfigError "a ConfigMap or Secret that a container needs is missing",
        "make the missing ConfigMap or Secret; `WorkloadReady` names it";
    VolumeError "a volume cannot be mounted, or the pod's network is not ready",
        "`kubectl describe pod`; check the claim, the storage class and the network plugin";
    RuntimeError "the handler's container keeps ending",
        "`kubectl logs POD -c asya-runtime --previous`";
    SidecarError "the sidecar keeps ending",
        "`kubectl logs POD -c asya-sidecar --previous`; it lists every wrong setting";
    WorkloadError "the manifest, the workload or a pod has another problem; the condition WorkloadReady says which",
        "read `WorkloadReady`";
    ScalingError "KEDA cannot scale the workload; the condition ScalingReady says why",
        "read `ScalingReady`";
    Paused "spec.paused is set: no replica runs, messages wait",
        "nothing; take `spec.paused` away to go on";
    Napping "scaled to zero: nothing waits",
        "nothing; the first message wakes it";
    ScalingUp "more pods are wanted than are ready",
        "wait; after 5 minutes it becomes `Degraded`";
    ScalingDown "fewer pods are wanted than exist",
        "wait; pods finish what they have in hand";
    Degraded "some pods are not ready, long after the last scaling",
        "`kubectl get pods -l asya.sh/asya=NAME`; look at those that are not ready; why some are missing is in `WorkloadReady`";
    Running "every pod that is wanted is ready",
        "nothing";
    Unknown "none of the above: please report it",
        "report it with `kubectl get asyncactor NAME -o yaml`";
}
