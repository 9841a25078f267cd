package io.headrace.operator.plan;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.Function;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonProcessingException;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.ObjectMapper;

/** From the JSON that the definitions were compiled to, to the plan. */
final class PlanReader {
    private static final int VERSION = 1;
    private static final ObjectMapper MAPPER = new ObjectMapper();

    private PlanReader() {}

    static Plan read(String json) {
        JsonNode plan;
        try {
            plan = MAPPER.readTree(json);
        } catch (JsonProcessingException error) {
            throw new IllegalArgumentException("the plan is not JSON", error);
        }
        int version = plan.path("version").asInt();
        if (version != VERSION) {
            throw new IllegalArgumentException(
                    "the plan has version " + version + ", this operator reads " + VERSION);
        }
        return new Plan(
                plan.get("project").asText(),
                list(plan.get("sources"), PlanReader::source),
                list(plan.get("views"), PlanReader::view),
                list(plan.get("decisions"), PlanReader::decision));
    }

    private static SourcePlan source(JsonNode node) {
        List<ColumnPlan> columns = list(node.get("columns"), PlanReader::column);
        JsonNode plausible = node.get("plausible");
        return new SourcePlan(
                text(node, "name"),
                text(node, "topic"),
                text(node, "schema"),
                text(node, "schema_version"),
                text(node, "event_time"),
                text(node, "dedup_key"),
                text(node, "available_at"),
                node.get("rank").asInt(),
                plausible.get("earliest_ms").asLong(),
                plausible.get("latest_ms").asLong(),
                columns,
                columns.stream().map(ColumnPlan::name).toList(),
                list(node.get("rules"), PlanReader::sourceRule));
    }

    private static SourceRule sourceRule(JsonNode node) {
        return new SourceRule(
                constant(SourceRule.Kind.class, text(node, "kind")),
                text(node, "name"),
                node.get("holds"),
                text(node, "column"),
                text(node, "pattern"),
                node.path("within_ms").asLong());
    }

    private static ColumnPlan column(JsonNode node) {
        return new ColumnPlan(
                text(node, "name"),
                constant(ColumnType.class, text(node, "type")),
                node.get("nullable").asBoolean(),
                number(node.get("minimum")),
                number(node.get("maximum")),
                integer(node.get("min_length")),
                integer(node.get("max_length")),
                text(node, "pattern"),
                constant(ColumnPlan.Role.class, text(node, "role")));
    }

    private static ViewPlan view(JsonNode node) {
        return new ViewPlan(
                text(node, "name"),
                node.get("version").asInt(),
                text(node, "fingerprint"),
                text(node, "source"),
                text(node, "join_key"),
                absent(node.get("filter")) ? null : node.get("filter"),
                list(
                        node.get("derived"),
                        one ->
                                new DerivedColumn(
                                        text(one, "name"), type(one), one.get("expression"))),
                list(node.get("columns"), one -> new ColumnRef(text(one, "name"), type(one))),
                list(node.get("partials"), PlanReader::partial),
                list(node.get("features"), PlanReader::feature));
    }

    private static PartialPlan partial(JsonNode node) {
        return new PartialPlan(
                constant(PartialPlan.Kind.class, text(node, "kind")),
                absent(node.get("column")) ? -1 : node.get("column").asInt(),
                list(node.get("columns"), JsonNode::asInt),
                node.path("floating").asBoolean(),
                node.path("with_squares").asBoolean(),
                node.path("greatest").asBoolean(),
                node.path("last").asBoolean());
    }

    private static FeaturePlan feature(JsonNode node) {
        ColumnType type = type(node);
        JsonNode q = node.get("q");
        return new FeaturePlan(
                text(node, "name"),
                constant(FeaturePlan.Kind.class, text(node, "kind")),
                node.get("partial").asInt(),
                node.path("edge_column").asInt(),
                type,
                window(node.get("window")),
                node.get("exclude_current").asBoolean(),
                value(node.get("default"), type),
                absent(q) ? 0 : q.get(0).asLong(),
                absent(q) ? 0 : q.get(1).asLong());
    }

    private static WindowPlan window(JsonNode node) {
        return new WindowPlan(
                constant(WindowPlan.Kind.class, text(node, "kind")),
                node.path("size_ms").asLong(),
                node.path("hop_ms").asLong(),
                node.path("delay_ms").asLong(),
                node.path("gap_ms").asLong());
    }

    private static DecisionPlan decision(JsonNode node) {
        return new DecisionPlan(
                text(node, "name"),
                text(node, "source"),
                list(
                        node.get("stages"),
                        one ->
                                new StagePlan(
                                        text(one, "join_key"),
                                        list(one.get("views"), JsonNode::asText))),
                list(
                        node.get("rules"),
                        one -> new RulePlan(text(one, "name"), one.get("when"))));
    }

    private static <T> List<T> list(JsonNode node, Function<JsonNode, T> reader) {
        if (absent(node)) {
            return List.of();
        }
        List<T> read = new ArrayList<>(node.size());
        node.forEach(one -> read.add(reader.apply(one)));
        return List.copyOf(read);
    }

    private static boolean absent(JsonNode node) {
        return node == null || node.isNull();
    }

    private static String text(JsonNode node, String name) {
        return absent(node.get(name)) ? null : node.get(name).asText();
    }

    private static Integer integer(JsonNode node) {
        return absent(node) ? null : (Integer) node.asInt();
    }

    private static Number number(JsonNode node) {
        if (absent(node)) {
            return null;
        }
        return node.isIntegralNumber() ? (Number) node.asLong() : (Number) node.asDouble();
    }

    private static ColumnType type(JsonNode node) {
        return constant(ColumnType.class, text(node, "type"));
    }

    private static Object value(JsonNode node, ColumnType type) {
        if (absent(node)) {
            return null;
        }
        return switch (type) {
            case INT64 -> node.asLong();
            case FLOAT64 -> node.asDouble();
            case BOOL -> node.asBoolean();
            case STRING -> node.asText();
        };
    }

    private static <E extends Enum<E>> E constant(Class<E> type, String name) {
        for (E constant : type.getEnumConstants()) {
            if (constant.name().toLowerCase(Locale.ROOT).equals(name)) {
                return constant;
            }
        }
        throw new IllegalArgumentException(
                "the plan says "
                        + name
                        + ", expected one of "
                        + String.join(
                                ", ",
                                java.util.Arrays.stream(type.getEnumConstants())
                                        .map(c -> c.name().toLowerCase(Locale.ROOT))
                                        .toList()));
    }
}
