// A CI job in JavaScript: deploys, waits, and reads back. Prints what it saw as JSON.
//
//   node job.mjs json|cbor REVISION    (endpoint, region and keys from AWS's own environment variables)

import {
  CodeDeployClient,
  CreateDeploymentCommand,
  GetApplicationCommand,
  GetDeploymentCommand,
  GetDeploymentTargetCommand,
  ListDeploymentTargetsCommand,
  paginateListDeployments,
  waitUntilDeploymentSuccessful,
} from "@aws-sdk/client-codedeploy";
import { AwsSmithyRpcV2CborProtocol } from "@aws-sdk/core/protocols";

const [kind, revision] = process.argv.slice(2);
const client = new CodeDeployClient(kind === "cbor" ? { protocol: AwsSmithyRpcV2CborProtocol } : {});
const group = { applicationName: "shop", deploymentGroupName: "cli" };

const { deploymentId } = await client.send(
  new CreateDeploymentCommand({ ...group, revision: JSON.parse(revision), description: kind }),
);
await waitUntilDeploymentSuccessful({ client, maxWaitTime: 120, minDelay: 1, maxDelay: 1 }, { deploymentId });
const { deploymentInfo } = await client.send(new GetDeploymentCommand({ deploymentId }));

const deployments = [];
for await (const page of paginateListDeployments({ client }, group)) deployments.push(...page.deployments);
const { targetIds: targets } = await client.send(new ListDeploymentTargetsCommand({ deploymentId }));
const { deploymentTarget } = await client.send(new GetDeploymentTargetCommand({ deploymentId, targetId: targets[0] }));

let error = "";
try {
  await client.send(new GetApplicationCommand({ applicationName: "none" }));
} catch (refused) {
  error = refused.name;
}

console.log(
  JSON.stringify({
    status: deploymentInfo.status,
    overview: deploymentInfo.deploymentOverview,
    isDate: deploymentInfo.createTime instanceof Date && deploymentInfo.completeTime >= deploymentInfo.createTime,
    isListed: deployments.includes(deploymentId),
    targets,
    events: deploymentTarget.instanceTarget.lifecycleEvents.map((event) => event.status),
    error,
  }),
);
