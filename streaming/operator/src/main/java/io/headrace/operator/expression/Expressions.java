package io.headrace.operator.expression;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;

/** Compiles the nodes of a plan to expressions, with the meaning that the oracle gives them. */
public final class Expressions {
    private final List<String> columns;

    private Expressions(List<String> columns) {
        this.columns = columns;
    }

    /** The expression of a node over rows of the named columns. */
    public static Expression compile(JsonNode node, List<String> columns) {
        return new Expressions(columns).compile(node);
    }

    private Expression compile(JsonNode node) {
        String kind = node.get("node").asText();
        return switch (kind) {
            case "literal" -> literal(node);
            case "column" -> column(node.get("name").asText());
            case "compare" -> compare(node);
            case "arithmetic" -> arithmetic(node);
            case "negate" -> negate(compile(node.get("operand")));
            case "absolute" -> absolute(compile(node.get("operand")));
            case "not" -> not(compile(node.get("operand")));
            case "and" -> both(compile(node.get("left")), compile(node.get("right")), false);
            case "or" -> both(compile(node.get("left")), compile(node.get("right")), true);
            case "is_null" -> isNull(compile(node.get("operand")));
            case "in" -> in(node);
            case "case" -> choice(node);
            case "coalesce" -> coalesce(compileAll(node.get("operands")));
            case "great_circle_km" -> greatCircle(compileAll(node.get("arguments")));
            default -> throw new IllegalArgumentException("the plan has a node of kind " + kind);
        };
    }

    private List<Expression> compileAll(JsonNode nodes) {
        List<Expression> compiled = new ArrayList<>(nodes.size());
        nodes.forEach(node -> compiled.add(compile(node)));
        return compiled;
    }

    private static Expression literal(JsonNode node) {
        Object value = value(node);
        return row -> value;
    }

    private static Object value(JsonNode node) {
        JsonNode value = node.get("value");
        JsonNode type = node.get("type");
        if (value == null || value.isNull()) {
            return null;
        }
        return switch (type.asText()) {
            case "int64" -> value.asLong();
            case "float64" -> value.asDouble();
            case "bool" -> value.asBoolean();
            case "string" -> value.asText();
            default -> throw new IllegalArgumentException("the plan has a literal of type " + type);
        };
    }

    private Expression column(String name) {
        int place = columns.indexOf(name);
        if (place < 0) {
            throw new IllegalArgumentException("the plan reads an unknown column " + name);
        }
        return row -> row[place];
    }

    private Expression compare(JsonNode node) {
        Expression left = compile(node.get("left"));
        Expression right = compile(node.get("right"));
        Comparison comparison = Comparison.of(node.get("op").asText());
        return row -> {
            Object a = left.evaluate(row);
            Object b = right.evaluate(row);
            return a == null || b == null ? null : comparison.holds(a, b);
        };
    }

    private Expression arithmetic(JsonNode node) {
        Expression left = compile(node.get("left"));
        Expression right = compile(node.get("right"));
        Arithmetic operation = Arithmetic.of(node.get("op").asText());
        boolean floating = node.get("floating").asBoolean();
        return row -> {
            Object a = left.evaluate(row);
            Object b = right.evaluate(row);
            if (a == null || b == null || operation == Arithmetic.DIVIDE && real(b) == 0.0) {
                return null;
            }
            return floating
                    ? (Object) operation.apply(real(a), real(b))
                    : (Object) operation.apply(whole(a), whole(b));
        };
    }

    private static Expression negate(Expression operand) {
        return row -> {
            Object value = operand.evaluate(row);
            if (value == null) {
                return null;
            }
            return value instanceof Double number
                    ? (Object) Arithmetic.finite(-number)
                    : (Object) Arithmetic.SUBTRACT.apply(0L, whole(value));
        };
    }

    private static Expression absolute(Expression operand) {
        return row -> {
            Object value = operand.evaluate(row);
            if (value == null) {
                return null;
            }
            if (value instanceof Double number) {
                return Arithmetic.finite(Math.abs(number));
            }
            long number = whole(value);
            return number < 0 ? Arithmetic.SUBTRACT.apply(0L, number) : (Object) number;
        };
    }

    private static Expression not(Expression operand) {
        return row -> {
            Object value = operand.evaluate(row);
            return value == null ? null : !(Boolean) value;
        };
    }

    /** AND and OR: one side that is `decisive` decides, else a null does. */
    private static Expression both(Expression left, Expression right, boolean decisive) {
        return row -> {
            Object a = left.evaluate(row);
            Object b = right.evaluate(row);
            if (a != null && (Boolean) a == decisive || b != null && (Boolean) b == decisive) {
                return decisive;
            }
            return a == null || b == null ? null : !decisive;
        };
    }

    private static Expression isNull(Expression operand) {
        return row -> operand.evaluate(row) == null;
    }

    private Expression in(JsonNode node) {
        Expression operand = compile(node.get("operand"));
        Set<Object> values = new HashSet<>();
        node.get("values").forEach(value -> values.add(unsigned(value(value))));
        return row -> {
            Object value = operand.evaluate(row);
            return value == null ? null : values.contains(unsigned(value));
        };
    }

    // -0.0 equals 0.0, but not as a Double.
    private static Object unsigned(Object value) {
        return value instanceof Double number ? (Object) (number + 0.0) : value;
    }

    private Expression choice(JsonNode node) {
        List<Expression> conditions = new ArrayList<>();
        List<Expression> results = new ArrayList<>();
        for (JsonNode branch : node.get("branches")) {
            conditions.add(compile(branch.get(0)));
            results.add(compile(branch.get(1)));
        }
        Expression otherwise = compile(node.get("otherwise"));
        return row -> {
            for (int i = 0; i < conditions.size(); i++) {
                if (Boolean.TRUE.equals(conditions.get(i).evaluate(row))) {
                    return results.get(i).evaluate(row);
                }
            }
            return otherwise.evaluate(row);
        };
    }

    private static Expression coalesce(List<Expression> operands) {
        return row -> {
            for (Expression operand : operands) {
                Object value = operand.evaluate(row);
                if (value != null) {
                    return value;
                }
            }
            return null;
        };
    }

    private static Expression greatCircle(List<Expression> arguments) {
        return row -> {
            double[] degrees = new double[arguments.size()];
            boolean absent = false;
            for (int i = 0; i < degrees.length; i++) {
                Object value = arguments.get(i).evaluate(row);
                absent |= value == null;
                degrees[i] = value == null ? 0.0 : real(value);
            }
            return absent
                    ? null
                    : GreatCircle.kilometres(degrees[0], degrees[1], degrees[2], degrees[3]);
        };
    }

    private static double real(Object value) {
        return ((Number) value).doubleValue();
    }

    private static long whole(Object value) {
        return (Long) value;
    }
}
