import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import org.opensearch.Version;
import org.opensearch.common.settings.Settings;
import org.opensearch.env.Environment;
import org.opensearch.index.mapper.MapperExtrasModulePlugin;
import org.opensearch.index.reindex.ReindexModulePlugin;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.plugins.Plugin;
import org.opensearch.plugins.PluginInfo;
import org.opensearch.transport.Netty4ModulePlugin;

/** One OpenSearch node from the parts that Maven Central has; settings are its arguments, as key=value. */
public final class Server extends Node {
    private Server(Environment environment, Collection<PluginInfo> plugins) {
        super(environment, plugins, false);
    }

    private static PluginInfo plugin(Class<? extends Plugin> type) {
        String name = type.getName();
        return new PluginInfo(name, "of the tests", "NA", Version.CURRENT, "21", name, null, List.of(), false);
    }

    public static void main(String[] arguments) throws Exception {
        // However the tests end, this process ends with them.
        ProcessHandle.current().parent().ifPresent(tests -> tests.onExit().thenRun(() -> System.exit(0)));
        Settings.Builder settings = Settings.builder();
        for (String argument : arguments) {
            String[] pair = argument.split("=", 2);
            if (pair[1].contains(",")) {
                settings.putList(pair[0], pair[1].split(","));
            } else {
                settings.put(pair[0], pair[1]);
            }
        }
        Environment environment = InternalSettingsPreparer.prepareEnvironment(
            settings.build(), Map.of(), null, () -> "node");
        List<PluginInfo> plugins = new ArrayList<>();
        for (Class<? extends Plugin> type : List.of(
                Netty4ModulePlugin.class, MapperExtrasModulePlugin.class, ReindexModulePlugin.class)) {
            plugins.add(plugin(type));
        }
        Server server = new Server(environment, plugins);
        CountDownLatch ended = new CountDownLatch(1);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                server.close();
            } catch (java.io.IOException ignored) {
                // the process ends anyway
            }
            ended.countDown();
        }));
        server.start();
        ended.await();
    }
}
