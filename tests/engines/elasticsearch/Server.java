package org.elasticsearch.node; // what it needs is visible here alone

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.plugins.MockPluginsService;
import org.elasticsearch.plugins.PluginsLoader;
import org.elasticsearch.plugins.PluginsService;
import org.elasticsearch.transport.netty4.Netty4Plugin;

/** One Elasticsearch node from the parts that Maven Central has; settings are its arguments, as key=value. */
public final class Server {
    private Server() {}

    public static void main(String[] arguments) throws Exception {
        // However the tests end, this process ends with them.
        ProcessHandle.current().parent().ifPresent(tests -> tests.onExit().thenRun(() -> System.exit(0)));
        LogConfigurator.loadLog4jPlugins();
        LogConfigurator.configureESLogging();
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
        NodeServiceProvider provider = new NodeServiceProvider() {
            @Override
            PluginsService newPluginService(Environment given, PluginsLoader loader) {
                return new MockPluginsService(given.settings(), given, List.of(Netty4Plugin.class));
            }
        };
        Node node = new Node(NodeConstruction.prepareConstruction(environment, null, provider, false));
        CountDownLatch ended = new CountDownLatch(1);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                node.close();
            } catch (java.io.IOException ignored) {
                // the process ends anyway
            }
            ended.countDown();
        }));
        node.start();
        ended.await();
    }
}
