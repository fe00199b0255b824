"""A plugin that asks for the URL it is told, as stock clients do, and says what came of it."""
import json, os, ssl, sys, urllib.request

for line in sys.stdin:
    request = json.loads(line)
    if "mairust" in request:
        plugin = os.environ["MAIRUST_PLUGIN_ID"]
        print(json.dumps({"mairust": 1, "plugin": plugin, "version": "1.0.0", "api": ["1"]}), flush=True)
        continue
    try:
        context = ssl._create_unverified_context()
        said = urllib.request.urlopen(request["settings"]["url"], timeout=15, context=context).read().decode()
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
    print(json.dumps({"call_id": request["call_id"], "explanation": said}), flush=True)
