import java.nio.charset.StandardCharsets;
import software.amazon.awssdk.services.sqs.SqsClient;

/** Publishes one envelope: QUEUE ACTOR,ACTOR ID PAYLOAD. AWS_ENDPOINT_URL_SQS if it is not AWS. */
public final class Sqs {
    public static void main(String[] arguments) throws Exception {
        var queue = arguments[0];
        var body = new String(Envelope.of(arguments[2], arguments[1], arguments[3]), StandardCharsets.UTF_8);
        try (var sqs = SqsClient.create()) {
            // Throws QueueDoesNotExistException when there is no such actor.
            var url = sqs.getQueueUrl(request -> request.queueName(queue)).queueUrl();
            sqs.sendMessage(request -> request.queueUrl(url).messageBody(body));
        }
    }
}
