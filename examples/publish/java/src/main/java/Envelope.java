import com.fasterxml.jackson.databind.ObjectMapper;
import java.util.List;
import java.util.Map;

/** One message: the actors to visit, in order, and what the first one gets. */
final class Envelope {
    private Envelope() {}

    static byte[] of(String id, String route, String payload) throws Exception {
        var json = new ObjectMapper();
        return json.writeValueAsBytes(
                Map.of(
                        "id", id,
                        "route", Map.of("actors", List.of(route.split(",")), "current", 0),
                        "payload", json.readTree(payload)));
    }
}
