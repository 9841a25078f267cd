package io.headrace.operator.testing;

import io.headrace.operator.BadRecord;
import io.headrace.operator.decode.EventDecoder;
import io.headrace.operator.decode.RowRules;
import io.headrace.operator.expression.Expression;
import io.headrace.operator.expression.Expressions;
import io.headrace.operator.plan.Plan;
import io.headrace.operator.plan.SourcePlan;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.node.ArrayNode;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.node.ObjectNode;

/**
 * Decodes records and evaluates expressions, line by line, so that a test can compare them.
 *
 * <p>A line is a JSON object with "op": "plan", "decode", "hold" or "evaluate"; each is answered by
 * one line.
 */
public final class DecodeMain {
    private static final ObjectMapper MAPPER = new ObjectMapper();

    private final List<EventDecoder> decoders = new ArrayList<>();
    private final List<RowRules> rules = new ArrayList<>();

    private DecodeMain() {}

    public static void main(String[] args) throws IOException {
        DecodeMain main = new DecodeMain();
        BufferedReader in =
                new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            byte[] answer = MAPPER.writeValueAsBytes(main.answer(MAPPER.readTree(line)));
            System.out.write(answer);
            System.out.write('\n');
            System.out.flush();
        }
    }

    private JsonNode answer(JsonNode request) {
        ObjectNode answer = MAPPER.createObjectNode();
        try {
            switch (request.get("op").asText()) {
                case "plan" -> {
                    decoders.clear();
                    rules.clear();
                    for (SourcePlan source : Plan.read(request.get("plan").asText()).sources()) {
                        decoders.add(new EventDecoder(source));
                        rules.add(new RowRules(source));
                    }
                }
                case "decode" -> {
                    byte[] raw = Base64.getDecoder().decode(request.get("raw").asText());
                    EventDecoder decoder = decoders.get(request.get("source").asInt());
                    ArrayNode values = answer.putArray("values");
                    for (Object value : decoder.decode(raw)) {
                        Answers.add(values, value);
                    }
                }
                case "hold" -> {
                    byte[] raw = Base64.getDecoder().decode(request.get("raw").asText());
                    int source = request.get("source").asInt();
                    rules.get(source)
                            .check(
                                    decoders.get(source).decode(raw),
                                    request.get("known_at").asLong(),
                                    request.get("sent_at").asLong());
                }
                case "evaluate" -> {
                    List<String> names = new ArrayList<>();
                    List<Object> row = new ArrayList<>();
                    request.get("row")
                            .fields()
                            .forEachRemaining(
                                    field -> {
                                        names.add(field.getKey());
                                        row.add(Answers.read(field.getValue()));
                                    });
                    Expression expression = Expressions.compile(request.get("node"), names);
                    Answers.add(answer.putArray("values"), expression.evaluate(row.toArray()));
                }
                default -> throw new IllegalArgumentException(request.toString());
            }
        } catch (BadRecord bad) {
            answer.put("reason", bad.reason());
            answer.put("message", bad.getMessage());
        }
        return answer;
    }
}
