import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.MessageProperties;
import java.util.concurrent.atomic.AtomicReference;

/** Publishes one envelope: QUEUE ACTOR,ACTOR ID PAYLOAD. RABBITMQ_URL says where. */
public final class RabbitMq {
    public static void main(String[] arguments) throws Exception {
        var queue = arguments[0];
        var body = Envelope.of(arguments[2], arguments[1], arguments[3]);
        var factory = new ConnectionFactory();
        factory.setUri(System.getenv("RABBITMQ_URL"));
        try (var connection = factory.newConnection();
                var channel = connection.createChannel()) {
            var returned = new AtomicReference<String>();
            channel.addReturnListener(back -> returned.set(back.getRoutingKey()));
            channel.confirmSelect();
            var properties =
                    MessageProperties.MINIMAL_PERSISTENT_BASIC.builder().contentType("application/json").build();
            var mandatory = true;
            channel.basicPublish("asya", queue.replaceFirst("^asya-", ""), mandatory, properties, body);
            // The broker returns a message before it confirms it.
            channel.waitForConfirmsOrDie(30_000);
            if (returned.get() != null) {
                throw new IllegalStateException("no queue is bound for " + returned.get());
            }
        }
    }
}
