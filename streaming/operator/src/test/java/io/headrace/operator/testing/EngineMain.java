package io.headrace.operator.testing;

import io.headrace.operator.BadRecord;
import io.headrace.operator.plan.Plan;
import io.headrace.operator.plan.SourcePlan;
import io.headrace.operator.plan.ViewPlan;
import io.headrace.operator.state.Bounds;
import io.headrace.operator.state.ChunkStore;
import io.headrace.operator.state.FieldLimits;
import io.headrace.operator.state.PackedState;
import io.headrace.operator.state.StageLayout;
import io.headrace.operator.state.StageState;
import io.headrace.operator.state.TileWidths;
import io.headrace.operator.state.ViewEngine;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.node.ArrayNode;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.node.ObjectNode;

/**
 * Drives the engine of a plan's first view, line by line, so that a test can compare it.
 *
 * <p>A line is a JSON object with "op": "plan", "absorb", "values", "fields" or
 * "expire"; each is answered by one line.
 */
public final class EngineMain {
    private static final ObjectMapper MAPPER = new ObjectMapper();

    private final Map<String, PackedState> states = new HashMap<>();
    private final Map<String, MemoryStore> stores = new HashMap<>();
    private final Map<String, Map<String, byte[]>> fields = new HashMap<>();
    private ViewPlan view;
    private StageLayout layout;
    private int sources;
    private ViewEngine engine;
    private String entity;
    private StageState used;

    private EngineMain() {}

    public static void main(String[] args) throws IOException {
        EngineMain main = new EngineMain();
        BufferedReader in =
                new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        StringBuilder out = new StringBuilder();
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            out.append(MAPPER.writeValueAsString(main.answered(MAPPER.readTree(line)))).append('\n');
            if (!in.ready()) {
                System.out.write(out.toString().getBytes(StandardCharsets.UTF_8));
                System.out.flush();
                out.setLength(0);
            }
        }
    }

    private JsonNode answered(JsonNode request) throws IOException {
        try {
            return answer(request);
        } catch (IllegalArgumentException refused) {
            return MAPPER.createObjectNode().put("refused", refused.getMessage());
        }
    }

    private JsonNode answer(JsonNode request) throws IOException {
        ObjectNode answer = MAPPER.createObjectNode();
        keepState();
        switch (request.get("op").asText()) {
            case "plan" -> {
                Plan plan = Plan.read(request.get("plan").asText());
                view = plan.views().get(0);
                sources = plan.sources().size();
                layout =
                        new StageLayout(
                                List.of(view),
                                plan.sources().stream().map(SourcePlan::name).toList(),
                                request.get("chunk").asInt());
                long lateness = request.get("lateness").asLong();
                JsonNode of = request.get("widths");
                TileWidths widths =
                        new TileWidths(
                                of.get(0).asLong(),
                                of.get(1).asLong(),
                                of.get(2).asLong(),
                                of.get(3).asLong());
                JsonNode most = request.get("limits");
                FieldLimits limits = new FieldLimits(most.get(0).asInt(), most.get(1).asInt());
                Bounds bounds = new Bounds(lateness, 0, request.get("room").asInt());
                engine = new ViewEngine(view, bounds, widths, limits);
                if (!request.path("keeps").asBoolean()) {
                    states.clear();
                    fields.clear();
                    stores.clear();
                }
            }
            case "absorb" -> {
                StageState state = state(request);
                Object[] values = new Object[view.columns().size()];
                for (int i = 0; i < values.length; i++) {
                    values[i] = value(i, request.get("values").get(i));
                }
                answer.put("late", engine.isLate(state.view(0), request.get("time").asLong()));
                ArrayNode puts = answer.putArray("puts");
                answer.put(
                        "became",
                        engine.absorb(
                                        state.view(0),
                                        request.get("time").asLong(),
                                        request.get("available").asLong(),
                                        bytes(request.get("dedup")),
                                        values,
                                        (field, content) -> {
                                            puts.addArray().add(field).add(content);
                                            of(request).put(field, content);
                                        })
                                .name());
                answer.put("raw", state.view(0).rawEvents());
                answer.put("tiles", state.view(0).tiles());
                answer.put("sequence", state.view(0).sequence());
            }
            case "fields" -> {
                ObjectNode told = answer.putObject("fields");
                of(request).forEach(told::put);
            }
            case "expire" -> {
                StageState state = state(request);
                boolean due = engine.emptyFrom(state.view(0)) <= request.get("time").asLong();
                if (due) {
                    engine.expire(state.view(0));
                }
                answer.put("expired", due);
            }
            case "values" -> {
                StageState state = state(request);
                long time = request.get("time").asLong();
                answer.put("late", engine.isLate(state.view(0), time));
                try {
                    Object[] all =
                            engine.values(state.view(0), time, bytes(request.get("current")));
                    answer.put("incomplete", engine.hideUnknown(state.view(0), time, all));
                    ArrayNode values = answer.putArray("values");
                    for (Object found : all) {
                        Answers.add(values, found);
                    }
                } catch (BadRecord bad) {
                    answer.put("error", bad.reason());
                }
            }
            default -> throw new IllegalArgumentException(request.toString());
        }
        return answer;
    }

    /** The state of an entity, as the stream unpacks it for each event. */
    private StageState state(JsonNode request) {
        entity = request.get("key").asText();
        PackedState held = states.get(entity);
        used = held == null ? layout.newState() : layout.unpacked(held);
        used.bind(
                new ChunkStore[] {stores.computeIfAbsent(entity, name -> new MemoryStore())},
                new ChunkStore[sources]);
        return used;
    }

    private void keepState() {
        if (used != null) {
            used.release();
            states.put(entity, layout.packed(used));
            used = null;
        }
    }

    private Map<String, byte[]> of(JsonNode request) {
        return fields.computeIfAbsent(request.get("key").asText(), key -> new HashMap<>());
    }

    private Object value(int column, JsonNode value) {
        if (value.isNull()) {
            return null;
        }
        return switch (view.columns().get(column).type()) {
            case INT64 -> value.asLong();
            case FLOAT64 -> Double.parseDouble(value.asText());
            case BOOL -> value.asBoolean();
            case STRING -> value.asText();
        };
    }

    private static byte[] bytes(JsonNode text) {
        return text == null || text.isNull() ? null : text.asText().getBytes(StandardCharsets.UTF_8);
    }
}
